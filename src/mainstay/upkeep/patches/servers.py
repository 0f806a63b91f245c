"""Which versions run here: the system, servers that are configured, Python environments."""

import asyncio
import platform
from pathlib import Path
from urllib.parse import urlsplit

from mainstay.core.errors import MainstayError
from mainstay.core.secret import Secret
from mainstay.ports.postgres.dsn import Dsn
from mainstay.upkeep.patches.python import version_of
from mainstay.upkeep.patches.versions import Running
from mainstay.upkeep.patches.weakness import Weakness, unknown

KNOWN_SYSTEMS = ("debian", "ubuntu")
WITHIN = 10.0
"""Seconds for an answer of a server."""


def system(root: Path) -> Running | None:
    """Read which system this is; None when it does not say."""
    try:
        lines = (root / "etc/os-release").read_text().splitlines()
    except OSError:
        return None
    facts = {name: value.strip().strip('"') for name, _, value in (line.partition("=") for line in lines)}
    if not facts.get("VERSION_ID"):
        return None
    return Running(facts.get("ID", "linux"), facts["VERSION_ID"], "this machine")


def pythons(environments: list[Path]) -> list[Running]:
    """Give the versions of Python: ours, and those of environments."""
    found = [Running("python", platform.python_version(), "mainstay")]
    return found + [
        Running("python", version, str(place)) for place in environments if (version := version_of(place))
    ]


async def postgres(name: str, dsn: Secret) -> Running | Weakness:
    """Ask a server for its version; one that does not answer is unknown."""
    try:
        async with asyncio.timeout(2 * WITHIN):
            connection = await Dsn.parse(dsn.reveal()).connect()
            number = connection.info.server_version
            await connection.close()
    except (MainstayError, LookupError, TimeoutError) as fault:
        return unknown(f"PostgreSQL of {name}", f"its version could not be asked: {fault}")
    major, rest = divmod(number, 10_000)
    version = f"{major}.{rest}" if major >= 10 else f"{major}.{rest // 100}.{rest % 100}"
    return Running("postgresql", version, name)


async def redis(name: str, url: Secret) -> Running | Weakness:
    """Ask a server for its version; one that does not answer is unknown."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    try:
        given = url.reveal()
        address = given if urlsplit(given).scheme else f"redis://{given}"
        async with Redis.from_url(address, socket_timeout=WITHIN, socket_connect_timeout=WITHIN) as client:
            facts = await client.info("server")
    except (RedisError, OSError, ValueError, LookupError) as fault:
        return unknown(f"Redis of {name}", f"its version could not be asked: {type(fault).__name__}")
    return Running("redis", str(facts.get("redis_version", "")), name)
