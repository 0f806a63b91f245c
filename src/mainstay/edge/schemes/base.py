"""What every signature scheme has in common: a request is judged on the bytes that came, before anything is parsed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import StringConstraints

from mainstay.core.errors import MainstayError
from mainstay.core.plugin import Plugin
from mainstay.core.secret import Secret
from mainstay.edge.schemes.request import LARGEST_DOCUMENT, Delivery, Headers, parse, word

if TYPE_CHECKING:
    from mainstay.edge.schemes.prover import Prover

__all__ = [
    "LARGEST_DOCUMENT", "CannotSign", "Delivery", "HeaderName", "Headers", "Refused", "Reply", "Scheme", "Sending",
    "Verified", "parse", "word",
]  # fmt: skip

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^`|~-]{1,64}$")]
"""A header's name: a token (RFC 9110, 5.6.2) without `_`, which no request may have here."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The request is genuine."""

    secret: str | None
    """The NAME of the secret that matched, for "last used"; None for schemes without."""
    sent_at: float | None = None
    """When the sender says that it signed it; only times that are part of what is signed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is not genuine, or nobody can tell: 401."""

    why: str
    """For the log and the dashboard, never for the sender. It repeats nothing that the sender wrote."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a handshake; nothing is stored."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (
        ("Content-Type", "text/plain"),
        ("X-Content-Type-Options", "nosniff"),
    )


@dataclass(frozen=True, slots=True)
class Sending:
    """A test event on its way out."""

    url: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    id: str = ""
    type: str | None = None

    def plus(self, headers: Iterable[tuple[str, str]]) -> "Sending":
        """Give it with further headers; what is there already stays."""
        present = {name.lower() for name, _ in self.headers}
        return replace(self, headers=(*self.headers, *(h for h in headers if h[0].lower() not in present)))


class CannotSign(MainstayError):
    """Only the vendor has the key that signs."""


class Scheme(Plugin, kind="scheme"):
    """How a sender proves that a request is from it.

    The intake asks `challenge` first (of GETs, too, where `handshakes` is true), then `verify`; whoever is verified is
    asked for `event_id` and `event_type`. Everything here is pure and quick, and nothing that a stranger sends makes it
    raise.
    """

    needs_secret: ClassVar[bool] = True
    """Whether there must be a secret."""
    proves: ClassVar[bool] = True
    """Whether it proves anything; where not, only addresses of the sender's networks may be let in."""
    handshakes: ClassVar[bool] = False
    """Whether GET requests may be handshakes; otherwise all but POST is 405."""
    id_header: ClassVar[str] = ""
    """The header with the event's id, if it stands in one."""
    id_path: ClassVar[tuple[str, ...]] = ()
    """The keys that lead to the event's id in the body's JSON, if it stands there."""
    type_header: ClassVar[str] = ""
    """The header with the event's type, if it stands in one."""
    type_path: ClassVar[tuple[str, ...]] = ()
    """The keys that lead to the event's type in the body's JSON, if it stands there."""

    @property
    def life(self) -> float | None:
        """For how many seconds a copy of a request is taken for genuine; None is for ever."""
        return None

    def fault(self, secret: str) -> str | None:
        """Say what is wrong with a secret's value, for `config check`; None when it can be used."""
        return None

    def challenge(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Reply | None:
        """Answer a handshake; None when it is none."""
        return None

    def prover(self, secrets: Sequence[Secret]) -> "Prover | None":
        """Give what judges this source's requests as `verify` does, and quicker; None when there is no such thing."""
        return None

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Judge a request. `now` is in seconds since 1970. Takes as long whichever secret matches."""
        raise NotImplementedError

    def event_id(self, request: Delivery) -> str | None:
        """Give what the sender calls this event, the same for each of its attempts; None when it does not say."""
        if self.id_header:
            return word(request.headers.get(self.id_header))
        return word(request.inside(*self.id_path)) if self.id_path else None

    def event_type(self, request: Delivery) -> str | None:
        """Give what kind of event it is, in the sender's words; None when it does not say."""
        if self.type_header:
            return word(request.headers.get(self.type_header))
        return word(request.inside(*self.type_path)) if self.type_path else None

    def named(self, id: str, type: str | None) -> list[tuple[str, str]]:
        """Give the headers with an event's id and type, of those that there are."""
        pairs = [(self.id_header, id), (self.type_header, type)]
        return [(name, value) for name, value in pairs if name and value]

    def example(self, id: str, type: str | None, now: float) -> bytes:
        """Make the body of a test event: never the same, with what the vendor's would have that is looked at here."""
        body: dict[str, Any] = {"test": id}
        for path, value in ((self.id_path, id), (self.type_path, type)):
            inner = body
            for key in path[:-1]:
                inner = inner.setdefault(key, {})
            if path and value:
                inner[path[-1]] = value
        return json.dumps(body).encode()

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the headers that the real sender would send. Raises `CannotSign`."""
        raise NotImplementedError

    def outgoing(self, sending: Sending, secret: Secret, now: float) -> Sending:
        """Make a request of a test event; schemes that sign in the address or in the body change those."""
        return sending.plus(
            self.sign(sending.body, secret, now, id=sending.id, type=sending.type, url=sending.url)
        )
