"""LINE: messages."""

from typing import ClassVar

from mainstay.edge.schemes.proof import Encoding
from mainstay.edge.schemes.shapes import Signed


class Line(Signed, type="line"):
    """`x-line-signature`: base64 of HMAC-SHA256 over the body, with the secret of the channel.

    A request may hold several events; it is known by its body."""

    signature_header: ClassVar[str] = "x-line-signature"
    encoding: ClassVar[Encoding] = "base64"
