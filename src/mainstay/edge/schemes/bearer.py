"""Any sender that can add a header with a secret, but cannot sign."""

from mainstay.edge.schemes.base import Delivery, HeaderName, word
from mainstay.edge.schemes.shapes import Token


class Bearer(Token, type="bearer", shorthand="header"):
    """A header holds the secret itself, `Authorization: Bearer SECRET` unless told otherwise; nothing is signed.

    Telegram: `{bearer: {header: X-Telegram-Bot-Api-Secret-Token, prefix: ""}}`.
    """

    header: HeaderName = "Authorization"
    """The header."""
    prefix: str = "Bearer "
    """What stands before the secret."""
    id: HeaderName | None = None
    """The header with the event's id; without it events are known by their body."""
    type: HeaderName | None = None
    """The header with the event's type."""

    def token_header(self) -> str:
        """Name the header."""
        return self.header

    def token(self, secret: str) -> bytes:
        """Give the header's value for a secret."""
        return (self.prefix + secret).encode()

    def event_id(self, request: Delivery) -> str | None:
        """Give what the header `id` says."""
        return word(request.headers.get(self.id)) if self.id else None

    def event_type(self, request: Delivery) -> str | None:
        """Give what the header `type` says."""
        return word(request.headers.get(self.type)) if self.type else None

    def named(self, id: str, type: str | None) -> list[tuple[str, str]]:
        """Give the headers with an event's id and type, of those that there are."""
        return [(name, value) for name, value in ((self.id, id), (self.type, type)) if name and value]
