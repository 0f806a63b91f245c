"""Whether a token of one issuer is good: first everything that is cheap, then the signature."""

from collections.abc import Mapping
from typing import Any, Protocol

from mainstay.edge.gateway.hygiene import safe
from mainstay.edge.gateway.identity import Bad, Identity
from mainstay.edge.gateway.settings_auth import IssuerSettings
from mainstay.edge.gateway.tokens.keys import Key, KeySet
from mainstay.edge.gateway.tokens.text import Malformed, Token, inside, moment

FITS_NONE = "signature does not fit"
MOST_TRIED = 8
"""Keys that a token without `kid` is tried with."""


class HasKeys(Protocol):
    """Where an issuer's keys are."""

    @property
    def keys(self) -> KeySet:
        """The keys as they are known now."""
        ...


class UnknownKey(Exception):
    """The token is signed with a key that is not known (here, yet). `tried` says that others were tried in vain."""

    def __init__(self, *, tried: bool = False) -> None:
        super().__init__()
        self.tried = tried


class Issuer:
    """Judges tokens of one issuer."""

    def __init__(self, settings: IssuerSettings, source: HasKeys) -> None:
        self.settings = settings
        self.source = source
        self._audience = frozenset(settings.audience)

    def is_for(self, claims: Mapping[str, Any]) -> bool:
        """Whether a token says that it is of this issuer."""
        return self.settings.issuer is None or claims.get("iss") == self.settings.issuer

    def check(self, token: Token, wall: float) -> Bad | None:
        """Say what is wrong with a token, without any cryptography."""
        try:
            return self._dates(token.claims, wall) or self._names(token.claims)
        except Malformed as fault:
            return Bad(str(fault))

    def verify(self, token: Token) -> Identity | Bad:
        """Verify a token that was checked. Raises `UnknownKey` when its key is not known."""
        keys = self._keys(token)
        signed, signature, algorithm = token.signed, token.signature, token.heading.algorithm
        if not any(key.verify[algorithm](signed, signature) for key in keys):
            if keys[0].kid is None or token.heading.kid is None:
                raise UnknownKey(tried=True)
            return Bad(FITS_NONE)
        return self._identity(token.claims)

    def _keys(self, token: Token) -> list[Key]:
        """Give the keys to try: those that it names, else those that have no name, which prove nothing if none fits."""
        known = self.source.keys.find(token.heading.kid)
        able = [key for key in known if token.heading.algorithm in key.verify][:MOST_TRIED]
        if known and not able and token.heading.kid is not None and known[0].kid is not None:
            raise Malformed("another algorithm than its key's")
        if not able:
            raise UnknownKey
        return able

    def _dates(self, claims: Mapping[str, Any], wall: float) -> Bad | None:
        leeway = self.settings.leeway
        ends, begins, made = moment(claims, "exp"), moment(claims, "nbf"), moment(claims, "iat")
        if ends is None:
            return Bad("never expires")
        if wall >= ends + leeway:
            return Bad("expired", counts=False)
        if max(begins or 0, made or 0) > wall + leeway:
            return Bad("not valid yet", counts=False, lasting=False)
        return None

    def _names(self, claims: Mapping[str, Any]) -> Bad | None:
        if not self.is_for(claims):
            return Bad("another issuer")
        if self._audience:
            given = claims.get("aud")
            names = given if isinstance(given, list) else [given]
            if not any(isinstance(name, str) and name in self._audience for name in names):
                return Bad("for another audience")
        return None

    def _identity(self, claims: Mapping[str, Any]) -> Identity | Bad:
        subject, plan = inside(claims, self.settings.subject), inside(claims, self.settings.plan)
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        if not isinstance(subject, str) or safe(subject) is None:
            return Bad("names nobody")
        ends = float(claims["exp"]) + self.settings.leeway
        return Identity(subject, plan if isinstance(plan, str) else None, ends)
