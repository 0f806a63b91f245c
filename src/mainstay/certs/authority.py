"""What authorities say of a certificate besides issuing it: when to renew it (ARI), and whether they revoked it."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from mainstay.certs.pem import Pair
from mainstay.certs.rule import Window
from mainstay.core.errors import MainstayError
from mainstay.ports.clock import Clock

ASK_EVERY = 6 * 3600.0
"""Seconds until ARI is asked again when the authority names no other time."""
SOONEST, LATEST = 60.0, 86400.0
WITHIN = 15.0
MOST = 20_000_000
"""Bytes that a list of revoked certificates may have."""


class NoWord(MainstayError):
    """The authority could not be asked, or what it said cannot be used."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What ARI said: the window, or None when this authority offers none, and when to ask again."""

    window: Window | None
    again_at: float


@dataclass(frozen=True)
class Authority:
    """Asks authorities; `ca` is a PEM file to trust instead of the system's authorities."""

    clock: Clock

    async def advice(self, server: str, pair: Pair, ca: Path | None) -> Advice:
        """Ask when a certificate should be renewed (RFC 9773). Raises `NoWord`."""
        directory, _ = await self._json(server, ca)
        base, now = directory.get("renewalInfo"), self.clock.now()
        if not isinstance(base, str) or pair.leaf.ari is None:
            return Advice(None, now + ASK_EVERY)
        found, headers = await self._json(f"{base.rstrip('/')}/{pair.leaf.ari}", ca)
        again = now + _wait(headers, now)
        try:
            window = found["suggestedWindow"]
            start, end = _moment(window["start"]), _moment(window["end"])
        except (KeyError, TypeError, ValueError):
            raise NoWord("the authority's answer about renewal is no answer as RFC 9773 has it") from None
        if end <= start:
            return Advice(None, again)
        why = found.get("explanationURL")
        return Advice(Window(start, end, why[:300] if isinstance(why, str) else ""), again)

    async def reach(self, server: str, ca: Path | None) -> None:
        """See whether an authority answers. Raises `NoWord`."""
        await self._json(server, ca)

    async def revoked(self, pair: Pair) -> str | None:
        """Say why a certificate counts no more; None when it does. Raises `NoWord` when nobody says.

        The authority is asked by OCSP where the certificate names a place for that, else its list is read.
        """
        if not pair.chain or not (pair.leaf.ocsp or pair.leaf.crls):
            return None
        from mainstay.certs import revocation

        now = self.clock.now()
        if pair.leaf.ocsp:
            question = revocation.question(pair)
            body, _ = await self._fetch(pair.leaf.ocsp, None, question)
            return revocation.by_answer(pair, body, now)
        for place in pair.leaf.crls:
            if place.startswith(("http://", "https://")):
                body, _ = await self._fetch(place, None)
                return revocation.by_list(pair, body, now)
        return None

    async def _json(self, url: str, ca: Path | None) -> tuple[dict[str, Any], Mapping[str, str]]:
        import json

        body, headers = await self._fetch(url, ca)
        try:
            found = json.loads(body)
        except ValueError:
            raise NoWord(f"{url} gave no JSON") from None
        if not isinstance(found, dict):
            raise NoWord(f"{url} gave no object")
        return found, headers

    async def _fetch(
        self, url: str, ca: Path | None, ocsp: bytes | None = None
    ) -> tuple[bytes, Mapping[str, str]]:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=WITHIN)
        try:
            context = ssl.create_default_context(cafile=str(ca)) if ca else True
            with self.clock.busy():
                async with (
                    aiohttp.ClientSession(timeout=limit) as session,
                    session.request(
                        "GET" if ocsp is None else "POST", url, data=ocsp, ssl=context,
                        headers={} if ocsp is None else {"Content-Type": "application/ocsp-request"},
                    ) as answer,
                ):  # fmt: skip
                    if answer.status != 200:
                        raise NoWord(f"{url} answered {answer.status}")
                    return await _body(answer.content), dict(answer.headers)
        except TimeoutError:
            raise NoWord(f"{url} did not answer within {WITHIN:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise NoWord(f"{url} cannot be asked: {fault}") from None


async def _body(stream: Any) -> bytes:
    pieces, size = [], 0
    async for piece in stream.iter_chunked(1 << 16):
        size += len(piece)
        if size > MOST:
            raise NoWord("the authority's answer is too long")
        pieces.append(piece)
    return b"".join(pieces)


def _wait(headers: Mapping[str, str], now: float) -> float:
    """Give the seconds that Retry-After says, within what is sane."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        wait = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return ASK_EVERY
    return min(max(wait, SOONEST), LATEST)


def _moment(text: str) -> float:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
