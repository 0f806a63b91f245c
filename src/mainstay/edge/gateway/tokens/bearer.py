"""Judges tokens (JWT) of all issuers."""

import asyncio
from collections.abc import Sequence

from mainstay.edge.gateway.identity import Bad, Identity, Known
from mainstay.edge.gateway.tokens.issuer import Issuer, UnknownKey
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
        for issuer in self.issuers:
            if not issuer.is_for(token.claims):
                continue
            bad = issuer.check(token, wall)
            if bad is not None:
                verdict = bad
                continue
            try:
                found = issuer.verify(token)
            except UnknownKey:
                unknown = unknown or issuer
                continue
            except Malformed as fault:
                found = Bad(str(fault))
            if isinstance(found, Identity):
                return found
            verdict = found
        return verdict if unknown is None else self._unknown(unknown, token)

    def _unknown(self, issuer: Issuer, token: Token) -> "Known | asyncio.Future[Known]":
        source = issuer.source
        if not isinstance(source, FetchedKeys):
            return Bad("unknown key")
        told = source.unknown(token.heading.kid)
        return told if told is not None else asyncio.ensure_future(self._fetched(issuer, source, token))

    async def _fetched(self, issuer: Issuer, source: FetchedKeys, token: Token) -> Known:
        told = await source.ask_about(token.heading.kid)
        if told is not None:
            return told
        try:
            return issuer.verify(token)
        except UnknownKey:
            return Bad("unknown key", lasting=False)
        except Malformed as fault:
            return Bad(str(fault))
