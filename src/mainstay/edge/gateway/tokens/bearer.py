"""Judges tokens (JWT) of all issuers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from mainstay.edge.gateway.identity import Bad, Identity, Known, Unsure
from mainstay.edge.gateway.tokens.issuer import FITS_NONE, Issuer, UnknownKey
from mainstay.edge.gateway.tokens.keys import KeySet
from mainstay.edge.gateway.tokens.sources import FetchedKeys
from mainstay.edge.gateway.tokens.text import Malformed, Reader, Token


class Tokens:
    """All issuers whose tokens are believed."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self.issuers = tuple(issuers)
        self._reader = Reader()

    def mine(self, raw: bytes) -> bool:
        """Whether a bearer's word has the shape of a token."""
        return self._reader.looks_like_one(raw)

    def judge(self, raw: bytes, wall: float) -> "Known | asyncio.Future[Known]":
        """Judge a token; a future when keys have to be fetched for it."""
        try:
            token = self._reader.read(raw)
        except Malformed as fault:
            return Bad(str(fault), elsewhere=True)
        return self._of(token, wall)

    def _of(self, token: Token, wall: float) -> "Known | asyncio.Future[Known]":
        verdict: Bad = Bad("another issuer", elsewhere=True)
        unknown: Issuer | None = None
        tried = False
        for issuer in self.issuers:
            if not issuer.is_for(token.claims):
                continue
            bad = issuer.check(token, wall)
            if bad is not None:
                verdict = bad
                continue
            try:
                found = issuer.verify(token)
            except UnknownKey as missing:
                unknown, tried = unknown or issuer, tried or missing.tried
                continue
            except Malformed as fault:
                found = Bad(str(fault))
            if isinstance(found, Identity):
                return found
            verdict = found
        return verdict if unknown is None else self._unknown(unknown, token, tried=tried)

    def _unknown(self, issuer: Issuer, token: Token, *, tried: bool) -> "Known | asyncio.Future[Known]":
        source = issuer.source
        if not isinstance(source, FetchedKeys):
            return Bad(FITS_NONE if tried else "unknown key")
        told = source.unknown(token)
        if told is None:
            return asyncio.ensure_future(self._fetched(issuer, source, token, source.keys, tried=tried))
        return _counted(told, tried=tried)

    async def _fetched(
        self, issuer: Issuer, source: FetchedKeys, token: Token, keys: KeySet, *, tried: bool
    ) -> Known:
        told = await source.ask_about(token, keys)
        if told is not None:
            return _counted(told, tried=tried)
        try:
            return issuer.verify(token)
        except UnknownKey as missing:
            return Bad(FITS_NONE if missing.tried else "unknown key", lasting=False)
        except Malformed as fault:
            return Bad(str(fault))


def _counted(told: Bad | Unsure, *, tried: bool) -> Bad | Unsure:
    """Let what cost us cryptography be counted as a guess, and call a signature wrong that fits no key."""
    if not tried:
        return told
    told = replace(told, counts=True)
    return replace(told, why=FITS_NONE) if isinstance(told, Bad) else told
