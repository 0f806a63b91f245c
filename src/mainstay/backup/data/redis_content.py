"""What is in a Redis, as far as it can be compared: how many keys, and the contents of some of them."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstay.backup.data.base import DataError

if TYPE_CHECKING:
    from redis.asyncio import Redis

SAMPLE = 300
"""Keys of each database whose contents are compared with the original."""
LONGEST = 2000
"""Members, or KiB of a string, above which a key is not read for the sample."""
BATCH = 200
SIZES = {
    b"string": "STRLEN", b"list": "LLEN", b"set": "SCARD", b"hash": "HLEN", b"zset": "ZCARD", b"stream": "XLEN",
}  # fmt: skip
READS: dict[bytes, tuple[str, ...]] = {
    b"string": ("GET", "{}"),
    b"list": ("LRANGE", "{}", "0", "-1"),
    b"set": ("SMEMBERS", "{}"),
    b"hash": ("HGETALL", "{}"),
    b"zset": ("ZRANGE", "{}", "0", "-1", "WITHSCORES"),
    b"stream": ("XRANGE", "{}", "-", "+"),
}


class Seen(NamedTuple):
    """One key's contents: `sha256` of them in an order that does not depend on the server."""

    db: int
    key: str
    type: str
    sha256: str

    def line(self) -> bytes:
        """Give it as a line of JSON."""
        return json.dumps(self).encode() + b"\n"


async def keys_by_database(server: "Redis") -> dict[int, int]:
    """Give how many keys each database has."""
    found = await info(server, "keyspace")
    return {
        int(name.removeprefix("db")): int(dict(fact.split("=") for fact in facts.split(","))["keys"])
        for name, facts in sorted(found.items())
    }


async def info(server: "Redis", section: str) -> dict[str, str]:
    """Give what the server says of itself."""
    (said,) = await ask(server, 0, [("INFO", section)], strict=True)
    text = said.decode(errors="replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def plain(server: "Redis") -> "Redis":
    """Let a client give answers as they come, the same from every version."""
    server.response_callbacks.clear()
    return server


async def sample(server: "Redis", databases: dict[int, int]) -> list[Seen]:
    """Read some keys of each database, chosen by the server at random."""
    seen: dict[tuple[int, bytes], Seen] = {}
    for db in databases:
        names = set(await ask(server, db, [("RANDOMKEY",)] * SAMPLE)) - {None}
        async for found in read(server, db, sorted(names)):
            seen[db, name_of(found)] = found
    return list(seen.values())


async def read(server: "Redis", db: int, names: list[bytes]) -> AsyncIterator[Seen]:
    """Read keys of one database; those that are gone, too large or of a module's type are left out."""
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        types = await ask(server, db, [("TYPE", name) for name in some])
        known = [(name, kind) for name, kind in zip(some, types, strict=True) if kind in SIZES]
        sizes = await ask(server, db, [(SIZES[kind], name) for name, kind in known])
        fit = [
            (name, kind)
            for (name, kind), size in zip(known, sizes, strict=True)
            if isinstance(size, int) and size <= LONGEST * (1024 if kind == b"string" else 1)
        ]
        values = await ask(
            server, db, [tuple(name if word == "{}" else word for word in READS[kind]) for name, kind in fit]
        )
        for (name, kind), value in zip(fit, values, strict=True):
            if value not in (None, [], {}) and not isinstance(value, Exception):
                yield Seen(db, name.hex(), kind.decode(), _hash(kind, value))


def name_of(seen: Seen) -> bytes:
    """Give the key of what was seen."""
    return bytes.fromhex(seen.key)


async def ask(
    server: "Redis", db: int, commands: list[tuple[Any, ...]], *, strict: bool = False
) -> list[Any]:
    """Ask one database several things at once; an answer may be an exception of the driver, unless `strict`."""
    async with server.pipeline(transaction=False) as pipe:
        pipe.execute_command("SELECT", db)
        for words in commands:
            pipe.execute_command(*words)
        answers = await pipe.execute(raise_on_error=strict)
    if isinstance(answers[0], Exception):  # else it would be asked of, or written into, another database
        raise DataError(f"Redis has no database {db}: {answers[0]}")
    return list(answers[1:])


def _hash(kind: bytes, value: Any) -> str:
    parts = list(value) if isinstance(value, list) else [value]
    if kind in (b"hash", b"zset"):
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
        # Servers differ in how many digits of a score they write.
        parts = [(name, float(score)) for name, score in pairs] if kind == b"zset" else sorted(pairs)
    elif kind == b"set":
        parts = sorted(parts)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
