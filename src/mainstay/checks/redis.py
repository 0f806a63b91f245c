"""Does Redis answer, and does it have room?"""

import ssl
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, model_validator

from mainstay.checks import tls
from mainstay.checks.dial import Trail, dial, dial_socket
from mainstay.checks.faults import bounded
from mainstay.checks.percent import Percent, in_order, share
from mainstay.checks.talk import Talk
from mainstay.core.check import Answer, Check, Place
from mainstay.core.errors import MainstayError
from mainstay.core.secret import SecretUrl
from mainstay.core.units import format_duration, format_size

SCHEMES = ("redis", "rediss", "unix")


class Refused(Exception):
    """Redis answered with an error."""


class RedisCheck(Check, type="redis", shorthand="url"):
    """Sends `PING` to a Redis (or Valkey, KeyDB) and looks at its memory, its replication and its last snapshot.

    Facts: `version`, `role`, `clients`, `memory_used` and `memory_limit` in bytes, and the seconds of each phase.
    """

    url: SecretUrl = Field(examples=["redis://localhost:6379/0"])
    """`redis://[USER]@HOST[:PORT][/DB]`, `rediss://` for TLS, `unix:///run/redis.sock`. With a password it belongs
    outside the file: `{secret: NAME}`."""
    memory_warn: Percent = 80.0
    """Warn from this share of `maxmemory`; not judged when Redis may evict keys, where a full memory is usual."""
    memory_fail: Percent = 95.0
    """Fail from this share of `maxmemory`: soon every write is refused."""
    verify: bool = True
    """Whether the certificate of a `rediss://` server must be right."""
    ca: Path | None = Field(default=None, strict=False)
    """PEM file of the authorities to trust instead of the system's."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        in_order(self, "memory_warn", "memory_fail")
        return self

    def host(self) -> str | None:
        return urlsplit(self._url()).hostname

    def target(self) -> str:
        parts = urlsplit(self._url())
        return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2] or "redis"

    async def probe(self, place: Place) -> Answer:
        trail = Trail(self.target())
        return await bounded(self._ask(place, trail), self.timeout, trail)

    def _url(self) -> str:
        try:
            return self.url.reveal()
        except LookupError:
            return ""

    async def _ask(self, place: Place, trail: Trail) -> Answer:
        began = place.monotonic()
        parts = urlsplit(self.url.reveal())
        if parts.scheme not in SCHEMES:
            raise MainstayError(
                "that is not the URL of a Redis", hint="it begins with redis://, rediss:// or unix://"
            )
        secure = tls.context(self.verify, self.ca) if parts.scheme == "rediss" else None
        transport, talk = await self._connect(place, trail, secure)
        try:
            database = _database(parts.path, parts.query, parts.scheme)
            client = _Client(transport, talk)
            login = _log_in(client, parts.username, parts.password, database)
            await trail.time(place, "first_byte", login)
            latency = place.monotonic() - began
            facts = _facts(await _info(client))
        except Refused as fault:
            return Answer.fail(f"Redis answers: {fault}", cause="answer", **trail.phases)
        finally:
            transport.abort()
        return self._judge(f"PONG in {format_duration(latency)}", facts | trail.phases)

    async def _connect(self, place: Place, trail: Trail, secure: ssl.SSLContext | None) -> Any:
        parts = urlsplit(self.url.reveal())
        if parts.scheme == "unix":
            return await dial_socket(place, parts.path, Talk, trail)
        return await dial(place, parts.hostname or "localhost", parts.port or 6379, Talk, trail, tls=secure)

    def _judge(self, said: str, facts: dict[str, Any]) -> Answer:
        used, limit = facts.get("memory_used", 0), facts.get("memory_limit", 0)
        if limit and facts.get("policy") == "noeviction":
            percent = share(used, limit)
            full = f"{percent:g}% of its memory is used, {format_size(used)} of {format_size(limit)}"
            if percent >= self.memory_fail:
                return Answer.fail(full, cause="full", **facts)
            if percent >= self.memory_warn:
                return Answer.warn(full, **facts)
        if facts.get("link") == "down":
            return Answer.warn("this replica has lost the connection to its primary", **facts)
        if facts.get("snapshot") == "err":
            return Answer.warn("its last snapshot to disk failed", **facts)
        return Answer.ok(f"{said}, {format_size(used)} in use" if used else said, **facts)


class _Client:
    """Speaks RESP, as much of it as a probe needs."""

    def __init__(self, transport: Any, talk: Talk) -> None:
        self._transport = transport
        self._talk = talk

    async def ask(self, *words: str) -> str:
        """Send a command and give its reply as text; raises `Refused`."""
        parts = [word.encode() for word in words]
        sent = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._transport.write(sent)
        line = (await self._talk.until(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"$" and rest.lstrip(b"-").isdigit():
            return (
                (await self._talk.exactly(int(rest) + 2))[:-2].decode(errors="replace")
                if int(rest) >= 0
                else ""
            )
        if kind in (b"+", b":"):
            return rest.decode(errors="replace")
        if kind == b"-":
            raise Refused(rest.decode(errors="replace"))
        raise Refused(f"something that is not its protocol: {line[:60].decode(errors='backslashreplace')!r}")


async def _log_in(client: _Client, user: str | None, password: str | None, database: str) -> None:
    if password is not None:
        names = [unquote(user)] if user else []
        await client.ask("AUTH", *names, unquote(password))
    if database not in ("", "0"):
        await client.ask("SELECT", database)
    await client.ask("PING")


def _database(path: str, query: str, scheme: str) -> str:
    if scheme == "unix":
        return parse_qs(query).get("db", [""])[0]
    return path.strip("/")


async def _info(client: _Client) -> dict[str, str]:
    try:
        text = await client.ask("INFO")
    except Refused:  # an account may well be allowed to PING only
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _facts(info: dict[str, str]) -> dict[str, Any]:
    texts = {"version": "redis_version", "role": "role", "policy": "maxmemory_policy"}
    texts |= {"link": "master_link_status", "snapshot": "rdb_last_bgsave_status"}
    numbers = {"clients": "connected_clients", "memory_used": "used_memory", "memory_limit": "maxmemory"}
    facts: dict[str, Any] = {name: info[key] for name, key in texts.items() if key in info}
    return facts | {name: int(info[key]) for name, key in numbers.items() if info.get(key, "").isdigit()}
