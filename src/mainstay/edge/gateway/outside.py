"""Asks others over HTTP: for keys, and whose a token is."""

from collections.abc import Mapping
from typing import Any, Protocol


class Unreachable(Exception):
    """No answer, or none that could be used; says why."""


class Outside(Protocol):
    """The world beyond, as far as the gateway asks it."""

    async def get(self, url: str, timeout: float, most: int) -> bytes:
        """Fetch at most `most` bytes. Raises `Unreachable`, also for any status but 200."""
        ...

    async def post(
        self, url: str, data: Mapping[str, Any], headers: Mapping[str, str], timeout: float, most: int
    ) -> tuple[int, bytes]:
        """Post JSON; gives status and body. Raises `Unreachable`."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class HttpOutside:
    """By aiohttp, with kept connections and without following anybody elsewhere."""

    def __init__(self) -> None:
        self._session: Any = None

    async def get(self, url: str, timeout: float, most: int) -> bytes:
        """Fetch at most `most` bytes. Raises `Unreachable`, also for any status but 200."""
        status, body = await self._ask("GET", url, timeout, most)
        if status != 200:
            raise Unreachable(f"{url} answers {status}")
        return body

    async def post(
        self, url: str, data: Mapping[str, Any], headers: Mapping[str, str], timeout: float, most: int
    ) -> tuple[int, bytes]:
        """Post JSON; gives status and body. Raises `Unreachable`."""
        return await self._ask("POST", url, timeout, most, json=data, headers=headers)

    async def close(self) -> None:
        """Close what is open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, url: str, timeout: float, most: int, **more: Any) -> tuple[int, bytes]:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        limits = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session.request(
                method, url, timeout=limits, allow_redirects=False, **more
            ) as answer:
                body = b""
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise Unreachable(f"{url} answers more than {most} bytes")
                return answer.status, body
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
            raise Unreachable(f"{url}: {str(fault) or type(fault).__name__}") from fault
