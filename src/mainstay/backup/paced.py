"""A stream that is held back, so that the line and the disk have room for others."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from mainstay.ports.clock import Clock


async def paced(chunks: AsyncIterator[bytes], rate: int | None, clock: Clock) -> AsyncIterator[bytes]:
    """Pass chunks on, no more than `rate` bytes a second on the average; who makes them waits."""
    begun, done = clock.monotonic(), 0
    stream: Any = chunks
    async with aclosing(stream):
        async for chunk in stream:
            yield chunk
            done += len(chunk)
            if rate:
                ahead = done / rate - (clock.monotonic() - begun)
                if ahead > 0:
                    await clock.sleep(ahead)
