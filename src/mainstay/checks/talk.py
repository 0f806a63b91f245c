"""Talking on a connection: read until, read exactly."""

import asyncio

LONGEST = 1024 * 1024


class Talk(asyncio.Protocol):
    """What has arrived and was not read yet. One reader at a time; raises `ConnectionResetError` at the end."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self._ended = False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._news.set()

    def connection_lost(self, fault: Exception | None) -> None:
        self._ended = True
        self._news.set()

    async def until(self, mark: bytes) -> bytes:
        """Give everything up to and including `mark`."""
        while mark not in self._buffer:
            await self._more()
        return self._take(self._buffer.index(mark) + len(mark))

    async def exactly(self, size: int) -> bytes:
        """Give so many bytes."""
        while len(self._buffer) < size:
            await self._more()
        return self._take(size)

    def heard(self) -> bytes:
        """Give what was not read."""
        return bytes(self._buffer)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _more(self) -> None:
        if self._ended:
            raise ConnectionResetError("the connection was closed")
        if len(self._buffer) > LONGEST:
            raise ConnectionResetError("too much was sent")
        self._news.clear()
        await self._news.wait()
