"""Finds a request's credential and whose it is. What was found out is remembered, so that most requests cost a look."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mainstay.edge.gateway.certificates import Certificates
from mainstay.edge.gateway.identity import Bad, Identity, Known, Memory
from mainstay.edge.gateway.keyring import KeyRing
from mainstay.edge.gateway.policy import Ask
from mainstay.edge.gateway.remote import Remote
from mainstay.edge.gateway.settings_auth import AuthSettings
from mainstay.edge.gateway.tokens.bearer import Tokens

_GOOD_FOR: Final = 3600.0
_BAD_FOR: Final = 60.0
_EMPTY: Final = Bad("no token in it", counts=False)
_TWICE: Final = Bad("more than one credential")
_NO_TOKEN: Final = Bad("not a token")


@dataclass(frozen=True, slots=True)
class TooMany:
    """This address has shown so many bad credentials that one which is not known is not looked at."""


Found = Known | TooMany
MayGuess = Callable[[], bool]
"""Whether the address may still show a credential that is not known."""


class Authenticator:
    """Says who asks. Nothing in it is awaited while a credential is remembered."""

    def __init__(
        self,
        settings: AuthSettings,
        tokens: Tokens | None = None,
        ring: KeyRing | None = None,
        remote: Remote | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.tokens = tokens
        self.ring = ring
        self.remote = remote
        self.certificates = certificates
        self._key_header = settings.keys.header.lower().encode() if settings.keys else b""
        self._good: Memory[Identity] = Memory()
        self._bad: Memory[Bad] = Memory()

    def keys_changed(self, taken_away: bool) -> None:
        """Forget what the keys of before decided."""
        self._bad.clear()
        if taken_away:
            self._good.clear()

    def known(self, ask: Ask, now: float, wall: float) -> Identity | None:
        """Say at once who asks, when this very credential was found good before."""
        fields = ask.fields
        if len(fields) != len(ask.headers):
            return None
        sent = fields.get(b"authorization")
        return self._good.get(sent, now, wall) if sent is not None else None

    def identify(
        self, ask: Ask, now: float, wall: float, may_guess: MayGuess
    ) -> "Found | asyncio.Future[Known] | None":
        """Say who asks; None when the request does not say."""
        fields = ask.fields
        bearer = fields.get(b"authorization")
        key = fields.get(self._key_header) if self._key_header else None
        if len(fields) != len(ask.headers) and self._twice(ask):
            return _TWICE
        if bearer is not None and bearer[:6].lower() == b"bearer" and bearer[6:7] in (b" ", b""):
            return self._bearer(bearer, now, wall, may_guess)
        if key is not None and self.ring is not None:
            return self.ring.judge(key, wall) if self.ring.mine(key) else _NO_TOKEN
        if ask.certificate is not None and self.certificates is not None:
            return self._certificate(ask.certificate, now, wall)
        return None

    def _twice(self, ask: Ask) -> bool:
        names = [name for name, _ in ask.headers]
        return names.count(b"authorization") > 1 or (
            self._key_header != b"" and names.count(self._key_header) > 1
        )

    def _certificate(self, der: bytes, now: float, wall: float) -> Known:
        known = self._good.get(der, now, wall)
        if known is None and self.certificates is not None:
            found = self.certificates.judge(der)
            if not isinstance(found, Identity):
                return found
            self._good.put(der, found, now + _GOOD_FOR, found.until)
            known = found
        return known if known is not None and wall < known.until else Bad("expired", counts=False)

    def _bearer(
        self, sent: bytes, now: float, wall: float, may_guess: MayGuess
    ) -> "Found | asyncio.Future[Known]":
        known = self._good.get(sent, now, wall)
        if known is not None:
            return known
        bad = self._bad.get(_mark(sent), now, wall)
        if bad is not None:
            return bad if may_guess() else TooMany()
        raw = sent[6:].strip(b" ")
        if self.ring is not None and self.ring.mine(raw):
            return self.ring.judge(raw, wall)
        if not raw:
            return _EMPTY
        if not may_guess():
            return TooMany()
        return self._judge(sent, raw, now, wall)

    def _judge(self, sent: bytes, raw: bytes, now: float, wall: float) -> "Known | asyncio.Future[Known]":
        """Judge a token that is not remembered: by its issuer, else by the service that knows tokens."""
        if self.tokens is not None and self.tokens.mine(raw):
            found = self.tokens.judge(raw, wall)
            if isinstance(found, asyncio.Future):
                found.add_done_callback(
                    lambda task: self._remember_late(sent, task, now, _GOOD_FOR, _BAD_FOR)
                )
                return found
            if not (isinstance(found, Bad) and found.elsewhere and self.remote is not None):
                self._remember(sent, found, now, _GOOD_FOR, _BAD_FOR)
                return found
        if self.remote is None:
            return _NO_TOKEN
        asked = self.remote.judge(raw)
        if isinstance(asked, asyncio.Future):
            times = self.remote.settings
            asked.add_done_callback(
                lambda task: self._remember_late(sent, task, now, times.ttl, times.bad_ttl)
            )
        return asked

    def _remember_late(
        self, raw: bytes, task: "asyncio.Future[Known]", now: float, good: float, bad: float
    ) -> None:
        if not task.cancelled() and task.exception() is None:
            self._remember(raw, task.result(), now, good, bad)

    def _remember(self, raw: bytes, found: Known, now: float, good: float, bad: float) -> None:
        if isinstance(found, Identity):
            self._good.put(raw, found, now + good, found.until)
        elif isinstance(found, Bad) and found.lasting:
            self._bad.put(_mark(raw), found, now + bad)


def _mark(sent: bytes) -> bytes:
    """Give what a bad credential is remembered by: strangers choose how long they are, so they are not kept whole."""
    return hashlib.blake2b(sent, digest_size=16).digest()
