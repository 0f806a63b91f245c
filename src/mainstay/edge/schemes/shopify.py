"""Shopify: shops."""

from typing import ClassVar

from mainstay.edge.schemes.base import Delivery, word
from mainstay.edge.schemes.proof import Encoding
from mainstay.edge.schemes.shapes import Signed


class Shopify(Signed, type="shopify"):
    """`X-Shopify-Hmac-Sha256`: base64 of HMAC-SHA256 over the body. Neither a time nor the id is signed."""

    signature_header: ClassVar[str] = "X-Shopify-Hmac-Sha256"
    encoding: ClassVar[Encoding] = "base64"
    id_header: ClassVar[str] = "X-Shopify-Event-Id"
    type_header: ClassVar[str] = "X-Shopify-Topic"

    def event_id(self, request: Delivery) -> str | None:
        """Give the id and the topic: what one change causes under several topics has one id."""
        event, topic = super().event_id(request), self.event_type(request)
        return word(f"{event}/{topic}") if event and topic else event
