"""HubSpot: customers and sales."""

from typing import ClassVar

from mainstay.edge.schemes.base import Delivery
from mainstay.edge.schemes.proof import Encoding, raw
from mainstay.edge.schemes.shapes import Stamped


class HubSpot(Stamped, type="hubspot"):
    """`X-HubSpot-Signature-v3`: base64 of HMAC-SHA256 over method, URL, body and time.

    The URL is the one that HubSpot calls. Events come in lists; a list is known by its body.
    """

    signature_header: ClassVar[str] = "X-HubSpot-Signature-v3"
    time_header: ClassVar[str] = "X-HubSpot-Request-Timestamp"
    per_second: ClassVar[int] = 1000
    encoding: ClassVar[Encoding] = "base64"

    def content(self, stamp: bytes, request: Delivery) -> bytes:
        """Give what is signed."""
        return b"".join((request.method.encode(), raw(request.url), request.body, stamp))
