"""Tells somebody outside that a job was done, or was not."""

import asyncio

from mainstay.core.job import RunContext
from mainstay.ports.answers import reason

WITHIN = 3.0
"""Seconds for one request. A job that was stopped for time has ten in all."""
TRIES = 3
PAUSE = 2.0


async def beat(run: RunContext, url: str) -> bool:
    """Ask an address, three times at most; say whether it answered well. A failure is logged, and fails nothing."""
    said = ""
    for number in range(TRIES):
        if number:
            await run.sleep(PAUSE)
        said = await _once(url)
        if not said:
            return True
    run.log(f"the heartbeat could not be told: {said}")
    return False


async def _once(url: str) -> str:
    """Ask once; give what is wrong, without the address, which may be a secret."""
    import aiohttp

    limit = aiohttp.ClientTimeout(total=WITHIN)
    try:
        async with (
            asyncio.timeout(WITHIN),
            aiohttp.ClientSession(timeout=limit, trust_env=False) as session,
            session.get(url, headers={"User-Agent": "mainstay"}) as answer,
        ):
            return "" if answer.status < 300 else f"it answered {answer.status}"
    except TimeoutError:
        return f"no answer within {WITHIN:g} s"
    except (aiohttp.InvalidURL, ValueError):
        return "its address is not a URL"
    except (aiohttp.ClientError, OSError) as fault:
        return reason(fault)
