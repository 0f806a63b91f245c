"""Xendit: payments in South-East Asia."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Token


class Xendit(Token, type="xendit"):
    """`x-callback-token` holds the account's webhook verification token; nothing is signed.

    The token travels with every request, so have only https addresses called, and let only Xendit's addresses in.
    """

    id_header: ClassVar[str] = "webhook-id"
    type_path: ClassVar[tuple[str, ...]] = ("event",)

    def token_header(self) -> str:
        """Name the header."""
        return "x-callback-token"
