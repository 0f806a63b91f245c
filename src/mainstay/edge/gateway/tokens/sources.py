"""Where an issuer's keys come from: the configuration, a file or an address. Once known they survive any outage."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainstay.core.errors import ConfigError
from mainstay.core.secret import redact
from mainstay.edge.gateway.contact import Contact
from mainstay.edge.gateway.identity import Bad, Unsure
from mainstay.edge.gateway.outside import Outside, Unreachable
from mainstay.edge.gateway.settings_auth import IssuerSettings, TokenKeySettings
from mainstay.edge.gateway.tokens.keys import Key, KeySet, from_jwks, from_pem, shared
from mainstay.edge.gateway.tokens.text import Malformed, Token
from mainstay.ports.clock import Clock

MOST_BYTES = 262_144
_MOST_ABSENT = 1000
_UNKNOWN = Bad("unknown key", lasting=False)
_log = logging.getLogger(__name__)

Changed = Callable[[bool], None]
"""Called when keys have changed; true when one was taken away, so that nothing verified by it may be believed."""


class FixedKeys:
    """Keys that stand in the configuration."""

    def __init__(self, settings: IssuerSettings) -> None:
        self.keys = KeySet(tuple(_configured(one) for one in settings.keys))


def _configured(one: TokenKeySettings) -> Key:
    if one.secret is not None:
        return shared(one.algorithm, one.secret.reveal().encode(), one.kid)
    path = one.file or Path()
    try:
        return from_pem(path.read_bytes(), one.algorithm, one.kid)
    except (OSError, Malformed) as fault:
        what = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise ConfigError(
            f"{path}: {what}", hint="a public key begins with -----BEGIN PUBLIC KEY-----"
        ) from fault


class FetchedKeys:
    """Keys that are fetched, and fetched anew: every `refresh` seconds, and when a token names one that is not known.

    The latter happens for one asker at a time and at most every `unknown_every`, whatever is thrown at us. Meanwhile an
    unknown key is a reason to come back later (503), not to be turned away (401): it may have been made this second.
    """

    def __init__(self, settings: IssuerSettings, outside: Outside, clock: Clock) -> None:
        self.settings = settings
        self.keys = KeySet()
        self._outside = outside
        self._clock = clock
        self._pause = settings.unknown_every
        self.listeners: list[Changed] = []
        self._fetching: asyncio.Task[bool] | None = None
        self._next_at = 0.0  # before that nobody's unknown key is a reason to fetch
        self._absent: dict[bytes, float] = {}
        self._looked_at = 0.0  # when the keys that are known were asked for, in seconds since 1970
        self._stamp: Any = None
        self.fetches = 0
        """How often the keys were asked for."""
        self.contact = Contact("keys", settings.jwks or str(settings.jwks_file), clock, grave=True)

    @property
    def fault(self) -> str | None:
        """Why the last attempt failed."""
        return self.contact.detail if self.contact.well is False else None

    async def run(self) -> None:
        """Keep the keys fresh until cancelled. Tries again soon after a failure."""
        good = await self.fetch() if not self.fetches else self.fault is None
        while True:
            # A file is only looked at, not read, so it can be looked at often.
            usual = 2.0 if self.settings.jwks_file else self.settings.refresh
            await self._clock.sleep(usual if good else min(usual, 10.0))
            good = await self.fetch()

    def unknown(self, token: Token) -> Bad | Unsure | None:
        """Say what to answer a token whose key is not known; None when fetching the keys may help."""
        now = self._clock.monotonic()
        if self._absent.get(_mark(token), 0.0) > now:
            return _UNKNOWN
        if now < self._next_at and (self._fetching is None or self._fetching.done()):
            return self._too_early(token)
        return None

    def _too_early(self, token: Token) -> Bad | Unsure:
        """Judge a token for which the keys are not fetched again yet.

        Whoever signs with a key publishes it first. Only of a token from before we looked is it certain that it was not
        made with a key that was published since; others may share its `kid`, or have none, so that says nothing.
        """
        made = token.claims.get("iat")
        if isinstance(made, int | float) and made + self.settings.leeway < self._looked_at:
            return _UNKNOWN
        # It counts as a guess, or nothing would stop whoever makes up names of keys; not while we cannot look.
        return Unsure("its key is not known yet", self._wait(), counts=self.fault is None)

    async def ask_about(self, token: Token, tried: KeySet) -> Bad | Unsure | None:
        """Fetch the keys, together with whoever else wants that. None when the key may be known now.

        `tried` are the keys that did not fit.
        """
        kid = token.heading.kid
        for _ in range(2):  # a fetch that was under way before us may show the keys of before
            if self._may_know(kid, tried):
                return None
            fresh = self._fetching is None or self._fetching.done()
            if fresh and self._clock.monotonic() < self._next_at:
                break
            if fresh:
                self._next_at = self._clock.monotonic() + self._pause
            good = await self.fetch()
            if self._may_know(kid, tried):
                return None
            if not good:
                return Unsure("its keys cannot be had now", self._wait())
            if fresh:
                return self._is_absent(token)
            if self._absent.get(_mark(token), 0.0) > self._clock.monotonic():
                return _UNKNOWN  # whom we shared the answer with has found out
        return self._too_early(token)

    def _may_know(self, kid: str | None, tried: KeySet) -> bool:
        """Whether there is a key that a token may be signed with: that of its name, or a new one without any."""
        if kid is not None and self.keys.names(kid):
            return True
        return self.keys is not tried and (kid is None or self.keys.find(kid) != tried.find(kid))

    def _wait(self) -> float:
        return max(1.0, self._next_at - self._clock.monotonic())

    def _is_absent(self, token: Token) -> Bad:
        """Whoever signs with a key publishes it first; this token was there before we looked."""
        if len(self._absent) >= _MOST_ABSENT:
            self._absent.clear()
        self._absent[_mark(token)] = self._clock.monotonic() + self._pause
        return _UNKNOWN

    async def fetch(self) -> bool:
        """Fetch the keys now; who asks meanwhile shares the answer. Gives whether it was good."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.ensure_future(self._fetch())
        return await asyncio.shield(self._fetching)

    async def _fetch(self) -> bool:
        self.fetches += 1
        began = self._clock.now()
        try:
            with self._clock.busy():
                raw = await self._read()
            if raw is not None:
                self._take(from_jwks(json.loads(raw), self.settings.algorithms))
            self._looked_at = began
        except (Unreachable, OSError, ValueError, RecursionError) as fault:
            told = str(fault) if isinstance(fault, Unreachable | OSError | Malformed) else "not JSON"
            if redact(told) != self.fault:
                where = self.settings.jwks or self.settings.jwks_file
                _log.warning("the keys of %s cannot be had: %s; those known before stay in use", where, told)
            self.contact.grave = not self.keys.keys
            self.contact.bad(told)
            return False
        many = len(self.keys.keys)
        self.contact.good(f"{many} key" if many == 1 else f"{many} keys")
        return True

    async def _read(self) -> bytes | None:
        """Give what is there; None when a file is as it was."""
        if self.settings.jwks is not None:
            return await self._outside.get(self.settings.jwks, self.settings.timeout, MOST_BYTES)
        path = self.settings.jwks_file or Path()
        about = path.stat()
        stamp = (about.st_mtime_ns, about.st_size, about.st_ino)
        if stamp == self._stamp:
            return None
        raw = path.read_bytes()[: MOST_BYTES + 1]
        self._stamp = stamp
        return raw

    def _take(self, found: KeySet) -> None:
        before = self.keys.marks
        if found.marks != before:
            self.keys = found
            self._absent.clear()
            for changed in self.listeners:
                changed(bool(before - found.marks))


def _mark(token: Token) -> bytes:
    return hashlib.blake2b(token.signature, digest_size=16, person=b"absent").digest()
