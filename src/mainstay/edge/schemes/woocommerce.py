"""WooCommerce: shops on WordPress."""

import re
from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Reply
from mainstay.edge.schemes.proof import Encoding
from mainstay.edge.schemes.shapes import Signed


class WooCommerce(Signed, type="woocommerce"):
    """`X-WC-Webhook-Signature`: base64 of HMAC-SHA256 over the body. The unsigned ping of a new webhook is answered.

    Events are known by their body, because those of one second share their delivery id.
    """

    signature_header: ClassVar[str] = "X-WC-Webhook-Signature"
    encoding: ClassVar[Encoding] = "base64"
    type_header: ClassVar[str] = "X-WC-Webhook-Topic"

    def challenge(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Reply | None:
        """Answer the ping with 200, without which the webhook is not saved; nothing is stored."""
        if request.headers.get(self.signature_header) is None and re.fullmatch(
            rb"webhook_id=\d{1,20}", request.body
        ):
            return Reply(200)
        return None
