"""The shapes that most vendors' signatures have; a vendor's own file says only what its header is and what it signs."""

from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Headers, Refused, Scheme, Verified
from mainstay.edge.schemes.proof import (
    COMMA,
    NO_MATCH,
    Encoding,
    digest,
    fields,
    listed,
    matching,
    raw,
    seconds,
    spell,
)
from mainstay.edge.schemes.timed import Timed


class Signed(Scheme):
    """A header holds one HMAC, or several between commas, over the body alone or with what `content` adds."""

    signature_header: ClassVar[str]
    algorithm: ClassVar[str] = "sha256"
    encoding: ClassVar[Encoding] = "hex"
    prefix: ClassVar[str] = ""

    def content(self, request: Delivery) -> bytes:
        """Give what is signed."""
        return request.body

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the signatures with those of every secret."""
        given = [raw(one) for one in listed(request.headers.get(self.signature_header) or "", COMMA)]
        if not given:
            return Refused(f"no signature in the header {self.signature_header}")
        content = self.content(request)
        found = matching(secrets, given, lambda secret: [self.signature(secret, content)])
        return Verified(found.name) if found else NO_MATCH

    def signature(self, secret: Secret, content: bytes) -> bytes:
        """Give the signature as the header holds it."""
        mac = digest(secret.reveal().encode(), content, self.algorithm)
        return self.prefix.encode() + spell(mac, self.encoding)

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the headers."""
        content = self.content(Delivery("POST", "", "", Headers(), body, "", url))
        signature = self.signature(secret, content).decode()
        return [*self.named(id, type), (self.signature_header, signature)]


class Stamped(Timed):
    """One header holds the time, another an HMAC over time and body."""

    signature_header: ClassVar[str]
    time_header: ClassVar[str]
    per_second: ClassVar[int] = 1
    """How many of what the time is counted in make a second."""
    encoding: ClassVar[Encoding] = "hex"
    prefix: ClassVar[str] = ""

    def content(self, stamp: bytes, request: Delivery) -> bytes:
        """Give what is signed."""
        raise NotImplementedError

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the signatures with those of every secret, then judge the time."""
        given = [raw(one) for one in listed(request.headers.get(self.signature_header) or "", COMMA)]
        if not given:
            return Refused(f"no signature in the header {self.signature_header}")
        stamp = request.headers.get(self.time_header) or ""
        content = self.content(raw(stamp), request)
        found = matching(secrets, given, lambda secret: [self.signature(secret, content)])
        if found is None:
            return NO_MATCH
        sent_at = seconds(stamp, self.per_second)
        if sent_at is None:
            return Refused(f"no time in the header {self.time_header}")
        return self.stale(sent_at, now) or Verified(found.name, sent_at)

    def signature(self, secret: Secret, content: bytes) -> bytes:
        """Give the signature as the header holds it."""
        return self.prefix.encode() + spell(digest(secret.reveal().encode(), content), self.encoding)

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the headers."""
        stamp = str(int(now * self.per_second))
        content = self.content(stamp.encode(), Delivery("POST", "", "", Headers(), body, "", url))
        signature = self.signature(secret, content).decode()
        return [*self.named(id, type), (self.time_header, stamp), (self.signature_header, signature)]


class Fields(Timed):
    """One header holds time and signatures by name: `t=1492774577,v1=5257a869...`."""

    signature_header: ClassVar[str]
    separator: ClassVar[str] = ","
    time_field: ClassVar[str] = "t"
    signature_fields: ClassVar[tuple[str, ...]] = ("v1",)
    joint: ClassVar[bytes] = b"."
    """What stands between time and body in what is signed."""

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the signatures with those of every secret, then judge the time."""
        found = fields(request.headers.get(self.signature_header) or "", self.separator)
        given = [raw(one) for name in self.signature_fields for one in found.get(name, ()) if one]
        stamps = found.get(self.time_field, [])
        if not given or len(stamps) != 1:
            return Refused(f"no signature with a time in the header {self.signature_header}")
        content = raw(stamps[0]) + self.joint + request.body
        secret = matching(secrets, given, lambda secret: [self.signature(secret, content)])
        if secret is None:
            return NO_MATCH
        sent_at = seconds(stamps[0])
        if sent_at is None:
            return Refused(f"no time in the header {self.signature_header}")
        return self.stale(sent_at, now) or Verified(secret.name, sent_at)

    def signature(self, secret: Secret, content: bytes) -> bytes:
        """Give the signature as the header holds it."""
        return spell(digest(secret.reveal().encode(), content), "hex")

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the header."""
        stamp = str(int(now))
        signature = self.signature(secret, stamp.encode() + self.joint + body).decode()
        parts = [f"{self.time_field}={stamp}", f"{self.signature_fields[-1]}={signature}"]
        return [*self.named(id, type), (self.signature_header, self.separator.join(parts))]


class Token(Scheme):
    """A header holds the secret itself: whoever once saw a request can make others."""

    def token_header(self) -> str:
        """Name the header."""
        raise NotImplementedError

    def token(self, secret: str) -> bytes:
        """Give the header's value for a secret."""
        return secret.encode()

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the header with every secret."""
        given = request.headers.get(self.token_header())
        if given is None:
            return Refused(f"no header {self.token_header()}")
        found = matching(secrets, [raw(given)], lambda secret: [self.token(secret.reveal())])
        return Verified(found.name) if found else Refused(f"the header {self.token_header()} is not right")

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the header."""
        return [*self.named(id, type), (self.token_header(), self.token(secret.reveal()).decode("latin-1"))]
