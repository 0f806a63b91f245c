"""Dropbox: changed files."""

from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Reply, word
from mainstay.edge.schemes.proof import parameter
from mainstay.edge.schemes.shapes import Signed


class Dropbox(Signed, type="dropbox"):
    """`X-Dropbox-Signature`: HMAC-SHA256 over the body, with the secret of the app. The question by GET is answered."""

    handshakes: ClassVar[bool] = True
    signature_header: ClassVar[str] = "X-Dropbox-Signature"

    def challenge(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Reply | None:
        """Give back the challenge; whoever asks learns nothing but that this is here."""
        challenge = word(parameter(request.query, "challenge")) if request.method == "GET" else None
        return Reply(200, challenge.encode()) if challenge else None
