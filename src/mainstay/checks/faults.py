"""A probe within its time-out: every fault of names, network and TLS becomes an answer that a person understands."""

import asyncio
import re
import ssl
from collections.abc import Awaitable

from mainstay.checks import tls
from mainstay.checks.dial import Trail
from mainstay.core.check import Answer, ResolveError
from mainstay.engine.guard import answer_to, timed_out

_DOING = {
    "dns": "looking up the name",
    "connect": "connecting to {where}",
    "tls": "agreeing on TLS with {where}",
    "first_byte": "waiting for the answer of {where}",
}


async def bounded(work: Awaitable[Answer], timeout: float, trail: Trail) -> Answer:
    """Give the answer of `work`, or say what went wrong within `timeout` seconds and in which phase."""
    try:
        async with asyncio.timeout(timeout):
            return await work
    except TimeoutError:
        doing = _DOING[trail.phase].format(where=trail.where)
        return timed_out(timeout, doing, reached=trail.phase not in ("dns", "connect"))
    except ssl.SSLError as fault:
        return tls.explain(fault, trail.name)
    except (ResolveError, OSError) as fault:
        return answer_to(fault, trail.where)


def split_address(text: str) -> tuple[str, int]:
    """Read `host:port` or `[2001:db8::1]:443`."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(\d{1,5})", text)
    if found is None or not 0 < int(found[2]) < 65536:
        raise ValueError(f"{text!r} is not an address; write it like example.com:5432")
    return found[1].strip("[]"), int(found[2])
