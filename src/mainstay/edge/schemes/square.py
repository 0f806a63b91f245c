"""Square: payments."""

from typing import ClassVar

from mainstay.edge.schemes.base import Delivery
from mainstay.edge.schemes.proof import Encoding, raw
from mainstay.edge.schemes.shapes import Signed


class Square(Signed, type="square"):
    """`x-square-hmacsha256-signature`: base64 of HMAC-SHA256 over URL and body.

    The URL is the one that Square calls.
    """

    signature_header: ClassVar[str] = "x-square-hmacsha256-signature"
    encoding: ClassVar[Encoding] = "base64"
    id_path: ClassVar[tuple[str, ...]] = ("event_id",)
    type_path: ClassVar[tuple[str, ...]] = ("type",)

    def content(self, request: Delivery) -> bytes:
        """Give what is signed."""
        return raw(request.url) + request.body
