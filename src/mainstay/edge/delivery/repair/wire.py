"""Requests to a sender's API: patient with limits, clear about refusals."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mainstay.core.errors import MainstayError
from mainstay.core.secret import redact
from mainstay.ports.answers import reason, retry_after
from mainstay.ports.clock import Clock

if TYPE_CHECKING:
    import aiohttp

TRIES = 6
LONGEST_WISH = 900.0
"""Seconds that a sender's limit is waited out; longer than that, the repair is tried another time."""
MOST = 64 * 2**20


class RepairError(MainstayError):
    """The sender could not be asked, or its answer not be understood."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer in JSON. `next` is the address of the page behind it (Link: rel="next"), if there is one."""

    document: Any
    next: str | None


class Wire:
    """Asks one sender, within one repair."""

    def __init__(self, session: "aiohttp.ClientSession", clock: Clock, who: str) -> None:
        self._session = session
        self._clock = clock
        self._who = who

    async def get(
        self, url: str, headers: Mapping[str, str], params: Mapping[str, str] | None = None
    ) -> Page:
        """Get a page. Limits (429, 403 with a limit's headers) and faults of the server are waited out."""
        pause = 1.0
        for attempt in range(TRIES):
            status, found, body = await self._once(url, headers, params)
            if status == 200:
                return Page(self._read(body), link(found.get("Link"), url))
            wish = self._wish(status, found)
            if wish is None and status < 500:
                raise self._refusal(status)
            if wish is not None and wish > LONGEST_WISH:
                raise RepairError(
                    f"{self._who} lets nobody ask for another {wish:.0f} s", hint="try again then"
                )
            if attempt < TRIES - 1:
                await self._clock.sleep(pause if wish is None else wish)
                pause *= 2
        raise RepairError(f"{self._who} answered {status} {TRIES} times", hint="try again later")

    async def _once(
        self, url: str, headers: Mapping[str, str], params: Mapping[str, str] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        import aiohttp

        try:
            with self._clock.busy():
                async with self._session.get(
                    url, headers=headers, params=params, allow_redirects=False
                ) as answer:
                    return answer.status, answer.headers, await self._whole(answer)
        except TimeoutError:
            raise RepairError(f"{self._who} did not answer in time", hint="try again later") from None
        except (aiohttp.ClientError, OSError) as fault:
            raise RepairError(f"{self._who} cannot be reached: {redact(reason(fault))}") from None

    async def _whole(self, answer: "aiohttp.ClientResponse") -> bytes:
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > MOST:
                raise RepairError(f"{self._who} answered with more than {MOST >> 20} MiB")
        return bytes(body)

    def _wish(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Give the seconds to wait when this is a limit."""
        if status not in (403, 429):
            return None
        wish = retry_after(headers.get("Retry-After"), self._clock.now())
        if wish is not None:
            return wish
        reset = headers.get("X-RateLimit-Reset", "")
        if headers.get("X-RateLimit-Remaining") == "0" and reset.isdigit():
            return max(1.0, float(reset) - self._clock.now())
        return 2.0 if status == 429 else None

    def _refusal(self, status: int) -> RepairError:
        if status in (401, 403):
            return RepairError(
                f"{self._who} refuses the token ({status})", hint="give it another with more rights"
            )
        if status == 404:
            return RepairError(f"{self._who} does not know what is asked for", hint="look at `repair`")
        return RepairError(f"{self._who} answered {status}")

    def _read(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise RepairError(f"{self._who} answered with something that is not JSON") from None


def link(header: str | None, asked: str) -> str | None:
    """Give the address behind rel="next" (RFC 8288), if it is at the same host: a token goes along."""
    for part in (header or "").split(","):
        address, _, rest = part.partition(">")
        if 'rel="next"' in rest or "rel=next" in rest:
            found = address.strip().removeprefix("<")
            if urlsplit(found)[:2] != urlsplit(asked)[:2]:
                raise RepairError("the next page is at another host, where the token must not go")
            return found
    return None
