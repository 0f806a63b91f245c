"""Redis: the server writes its own snapshot, a throwaway server loads it."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field

from mainstay.backup.compare import Difference, Judgement
from mainstay.backup.data.base import DataError, Dataset, Landed, Landing, Taken, Taking, Trial, Unprovable
from mainstay.backup.data.landing import land_at, look_at
from mainstay.backup.data.redis_content import Seen, ask, info, keys_by_database, name_of, plain, read, sample
from mainstay.backup.data.redis_copy import copy_database, copy_functions
from mainstay.backup.data.redis_sandbox import redis_sandbox
from mainstay.backup.data.sqlite import room
from mainstay.backup.data.stream import file_written, written
from mainstay.backup.dump import Meter, ended_well, gently
from mainstay.backup.fingerprint import Counted
from mainstay.backup.manifest import DataManifest
from mainstay.core.paths import ConfigPath
from mainstay.core.secret import ESCAPES, SecretUrl, redact
from mainstay.core.units import format_size
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.sandbox import environment

if TYPE_CHECKING:
    from redis.asyncio import Redis

DUMP = "dump.rdb.zst"
SAMPLED = "sample.jsonl.zst"
SCHEMES = ("redis", "rediss", "unix")
KEYS = re.compile(r"(\d+) keys read")
LOADED = 1.3
"""How much memory a loaded dump may take, as a multiple of what it takes in the original."""


class RedisData(Dataset, type="redis", shorthand="url"):
    """A whole Redis (or Valkey), every database of it: the snapshot that the server writes for a replica.

    `redis-cli --rdb` gets it, so the account needs the rights of a replica (`+psync +sync +replconf`) besides reading.
    `redis-check-rdb` checks it before it is stored; for that there must be room below `state_dir`. The proof loads it
    into a throwaway `redis-server`, decodes every value, counts the keys and compares the contents of some hundred,
    which did not change while the snapshot was made, with those in the original.
    """

    counts: ClassVar[str] = "keys"

    url: SecretUrl = Field(examples=["redis://localhost:6379"])
    """`redis://[USER]@HOST[:PORT]`, `rediss://` for TLS, `unix:///run/redis.sock`. With a password it belongs outside
    the file: `{secret: NAME}`."""
    ca: ConfigPath | None = None
    """PEM file of the authorities to trust instead of the system's."""
    may_be_empty: bool = False
    """Whether it is fine that there is no key in it; else that is taken for the wrong server."""

    def target(self) -> str:
        try:
            parts = urlsplit(self.url.reveal())
        except LookupError:
            return "redis"
        return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2] or "redis"

    async def examine(self) -> str:
        async with connected(self.url.reveal(), self.ca) as server:
            version = (await info(server, "server")).get("redis_version", "?")
            keys = sum((await keys_by_database(server)).values())
        return f"Redis {version}, {keys:,} keys"

    async def take(self, taking: Taking) -> Taken:
        at = taking.clock.now()
        async with connected(self.url.reveal(), self.ca) as server:
            facts = await info(server, "server") | await info(server, "memory")
            memory = int(facts.get("used_memory", "0"))
            await asyncio.to_thread(room, taking.folder, memory)
            before = await keys_by_database(server)
            chosen = await sample(server, before)
            file = await self._dump(taking)
            after = await keys_by_database(server)
            same = await _unchanged(server, chosen)
        keys = await _checked(file)
        if not keys and not self.may_be_empty:
            raise DataError(
                f"there is no key in {self.target()}",
                hint="is the address right? if it is: may_be_empty: true",
            )
        meter = Meter(
            on_bytes=lambda done: taking.run.progress("storing", done, file.stat().st_size, "bytes")
        )
        size = file.stat().st_size
        await taking.put(DUMP, written(file_written(file), meter, taking.rules.nice), meter, size)
        seen = taking.folder / "sample.jsonl"
        await asyncio.to_thread(seen.write_bytes, b"".join(each.line() for each in same))
        meter = Meter()
        await taking.put(SAMPLED, written(file_written(seen), meter), meter)
        return Taken(
            at=at,
            program=f"Redis {facts.get('redis_version', '?')}",
            said=f"{keys:,} keys, {len(same)} of them read",
            counted={"keys": Counted(rows=keys, sum="")},
            unproven=_doubt(keys, sum(before.values()), sum(after.values())),
            facts={"memory": str(memory), "sampled": str(len(same))},
        )

    async def _dump(self, taking: Taking) -> Path:
        """Let the server write a snapshot into a file here. Raises `DumpError`."""
        file = taking.folder / "dump.rdb"
        parts = urlsplit(self.url.reveal())
        argv = ["redis-cli", *_where(parts), *(("--cacert", str(self.ca)) if self.ca else ())]
        if parts.username:
            argv += ["--user", unquote(parts.username)]
        password = {"REDISCLI_AUTH": unquote(parts.password)} if parts.password else {}
        taking.run.progress("dumping", 0, None, "bytes")
        try:
            running = child(
                gently([*argv, "--rdb", str(file)], taking.rules.nice), env=environment(**password)
            )
            async with running as program:
                await ended_well(program, b"", b"", "redis-cli")
        except FileNotFoundError:
            raise DataError(
                "there is no redis-cli on this machine", hint="install the package redis-tools"
            ) from None
        if not await asyncio.to_thread(file.exists):
            raise DataError(f"redis-cli wrote no dump of {self.target()}", hint="run redis-cli --rdb by hand")
        return file

    @classmethod
    async def tried(cls, trial: Trial) -> Judgement:
        _memory(trial.manifest)
        file, sampled = await trial.file(DUMP), await trial.file(SAMPLED)
        trial.lap("download")
        async with redis_sandbox(file, trial.space) as server:
            trial.lap("restore")
            return await _compared(trial.manifest, server, await asyncio.to_thread(_lines, sampled))

    @classmethod
    async def landing(cls, manifest: DataManifest, into: str, *, replace: bool) -> Landing:
        if "://" not in into:
            return await asyncio.to_thread(lambda: look_at(into, "dump file", replace=replace))
        async with connected(into, None, asked=True) as server:
            there = sum((await keys_by_database(server)).values())
        where = urlsplit(into).netloc.rpartition("@")[2] or urlsplit(into).path
        refused = f"there are {there:,} keys in {where}" if there else None
        return Landing(
            where,
            (f"fill Redis {where} with {manifest.said.partition(',')[0]} keys",),
            refused,
            "name an empty server: Redis cannot keep what is there under another name" if there else None,
        )

    @classmethod
    async def land(cls, trial: Trial, into: str, *, replace: bool) -> Landed:
        if "://" in into:
            return await _into_server(trial, into)
        sampled = await asyncio.to_thread(_lines, await trial.file(SAMPLED))

        async def fill(draft: Path) -> Judgement:
            file = await trial.file(DUMP)
            await asyncio.to_thread(_private_copy, file, draft)
            async with redis_sandbox(file, trial.space) as server:
                return await _compared(trial.manifest, server, sampled)

        done = await land_at(trial, into, fill)
        told = "stop Redis, put it in the place of its dump.rdb (with appendonly no), let the user redis own it, start"
        return Landed(done.where, done.judgement, done.kept_as, told)


def _where(parts: Any) -> list[str]:
    if parts.scheme == "unix":
        return ["-s", parts.path]
    secure = ["--tls"] if parts.scheme == "rediss" else []
    return ["-h", parts.hostname or "localhost", "-p", str(parts.port or 6379), *secure]


@asynccontextmanager
async def connected(url: str, ca: Path | None, *, asked: bool = False) -> AsyncIterator["Redis"]:
    """A connection to a Redis. Raises `DataError`, also for what happens inside.

    An address that a person gave (`asked`) may leave its password to $REDISCLI_AUTH.
    """
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise DataError(
            "that is not the URL of a Redis", hint="it begins with redis://, rediss:// or unix://"
        )
    more: dict[str, Any] = {"ssl_ca_certs": str(ca)} if ca and parts.scheme == "rediss" else {}
    if asked and parts.password is None and "REDISCLI_AUTH" in os.environ:
        more["password"] = os.environ["REDISCLI_AUTH"]
    name = parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
    try:
        server = plain(Redis.from_url(url, protocol=2, socket_timeout=300, socket_connect_timeout=10, **more))
    except ValueError as fault:
        raise DataError(f"that is not the URL of a Redis: {redact(str(fault))}", hint=ESCAPES) from None
    try:
        try:
            await ask(server, 0, [("PING",)], strict=True)
            yield server
        finally:
            await server.aclose()
    except (RedisError, OSError) as fault:
        raise DataError(f"Redis {name}: {fault}", hint="redis-cli -u URL ping says more") from None


async def _unchanged(server: "Redis", chosen: list[Seen]) -> list[Seen]:
    """Give what has the same contents still, and so had them in the snapshot."""
    again: set[Seen] = set()
    for db in {each.db for each in chosen}:
        names = [name_of(each) for each in chosen if each.db == db]
        again |= {found async for found in read(server, db, names)}
    return sorted(set(chosen) & again)


async def _checked(file: Path) -> int:
    """Let Redis's own program check a dump; give how many keys are in it. Raises `DataError`."""
    argv = ["/bin/sh", "-c", 'exec "$@" >&2', "check", "redis-check-rdb", str(file)]
    async with child(argv, env=environment()) as running:
        code = await running.finish()
    said = running.said
    found = KEYS.search(said)
    if code == 127:
        raise DataError("there is no redis-check-rdb on this machine", hint="install the package redis-tools")
    if code or found is None:
        raise DataError(f"the dump is not whole: {' '.join(said.split())[-300:]}", hint="try again")
    return int(found[1])


def _doubt(keys: int, before: int, after: int) -> dict[str, str]:
    """Say so when a dump holds another number of keys than the writes meanwhile can explain."""
    some = abs(after - before) + max(before, after) // 100 + 10
    if min(before, after) - some <= keys <= max(before, after) + some:
        return {}
    return {"keys": f"the server had {before:,} keys before and {after:,} after, the dump has {keys:,}"}


def _memory(manifest: DataManifest) -> None:
    """Make sure that loading a dump does not take the memory of what runs here. Raises `Unprovable`."""
    needed = int(LOADED * int(manifest.facts.get("memory", "0")))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    if free < needed:
        raise Unprovable(
            f"loading {manifest.database} needs {format_size(needed)} of memory, {format_size(free)} are free",
            hint="prove it on another machine",
        )


def _lines(file: Path) -> list[Seen]:
    import json

    return [Seen(*json.loads(line)) for line in file.read_text().splitlines()]


async def _compared(
    manifest: DataManifest, server: "Redis", expected: list[Seen], *, gone: int | None = None
) -> Judgement:
    """Compare what a server holds with the manifest and the sample.

    `gone` is how many keys have expired, where keys do; a throwaway server keeps every one.
    """
    from mainstay.backup.data.prove import judge

    wrong: list[Difference] = []
    databases = await keys_by_database(server)
    found: set[Seen] = set()
    for db in {each.db for each in expected}:
        found |= {
            each async for each in read(server, db, [name_of(each) for each in expected if each.db == db])
        }
    missed, doubts = set(expected) - found, {}
    if gone is None:
        missed -= (over := await _over(server, missed))
        if over and over == set(expected):
            doubts["values"] = "every key that was read has expired since, so that none could be compared"
    if len(missed) > (gone or 0):
        what = f"{len(missed)} of {len(expected)} sampled keys"
        wrong.append(Difference(what, "as they were read", "others or none"))
    if gone is None:
        # Walks every value of every key: one that loads and cannot be read shows itself.
        digest = await ask(server, 0, [("DEBUG", "DIGEST")])
        if isinstance(digest[0], Exception):
            wrong.append(Difference("values", "readable", str(digest[0])))
    keys = {"keys": Counted(rows=sum(databases.values()) + (gone or 0), sum="")}
    return judge(manifest, keys, tuple(wrong), doubts)


async def _over(server: "Redis", missed: set[Seen]) -> set[Seen]:
    """Give those that a throwaway server holds and shows to nobody, because their time to live is over by now."""
    over = set()
    for each in missed:
        name = name_of(each)
        there, shown = await ask(server, each.db, [("DEBUG", "OBJECT", name), ("EXISTS", name)])
        if not isinstance(there, Exception) and shown == 0:
            over.add(each)
    return over


def _private_copy(file: Path, draft: Path) -> None:
    import shutil

    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    shutil.copyfile(file, draft)


async def _into_server(trial: Trial, url: str) -> Landed:
    """Fill an empty server from a throwaway one, key by key, and compare."""
    sampled = await asyncio.to_thread(_lines, await trial.file(SAMPLED))
    file = await trial.file(DUMP)
    async with redis_sandbox(file, trial.space) as source, connected(url, None, asked=True) as target:
        total = trial.manifest.rows
        done = gone = 0
        for db in await keys_by_database(source):
            before = done, gone
            async for copied, expired in copy_database(source, target, db):
                done, gone = before[0] + copied, before[1] + expired
                trial.told_to.progress("restoring", done, total, "keys")
        await copy_functions(source, target)
        if gone:
            trial.told_to.log(f"{gone:,} keys have expired since the backup")
        judgement = await _compared(trial.manifest, target, sampled, gone=gone)
    return Landed(urlsplit(url).netloc.rpartition("@")[2] or urlsplit(url).path, judgement)
