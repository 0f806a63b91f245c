"""Meta: Facebook, Instagram, Messenger, WhatsApp."""

import hmac
from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Reply, word
from mainstay.edge.schemes.proof import parameter, raw
from mainstay.edge.schemes.shapes import Signed


class Meta(Signed, type="meta", shorthand="verify_token"):
    """`X-Hub-Signature-256`: HMAC-SHA256 over the body, with the secret of the app.

    Several changes may come in one request, which is known by its body. The question by GET is answered when it holds
    the verify token.
    """

    handshakes: ClassVar[bool] = True
    signature_header: ClassVar[str] = "X-Hub-Signature-256"
    prefix: ClassVar[str] = "sha256="
    type_path: ClassVar[tuple[str, ...]] = ("object",)

    verify_token: Secret
    """The text that was written as "verify token" where the webhook was set up."""

    def challenge(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Reply | None:
        """Give back the challenge of who knows the token; 403 to others."""
        if request.method != "GET" or parameter(request.query, "hub.mode") != "subscribe":
            return None
        given = parameter(request.query, "hub.verify_token") or ""
        right = hmac.compare_digest(raw(given), self.verify_token.reveal().encode())
        challenge = word(parameter(request.query, "hub.challenge"))
        return Reply(200, challenge.encode()) if right and challenge else Reply(403)
