"""Zoom: meetings and recordings."""

import json
from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Refused, Reply, word
from mainstay.edge.schemes.proof import digest
from mainstay.edge.schemes.shapes import Stamped


class Zoom(Stamped, type="zoom"):
    """`x-zm-signature`: HMAC-SHA256 over `v0:TIME:BODY`. The question `endpoint.url_validation` is answered.

    Events have no id; they are known by their body.
    """

    signature_header: ClassVar[str] = "x-zm-signature"
    time_header: ClassVar[str] = "x-zm-request-timestamp"
    prefix: ClassVar[str] = "v0="
    type_path: ClassVar[tuple[str, ...]] = ("event",)

    def content(self, stamp: bytes, request: Delivery) -> bytes:
        """Give what is signed."""
        return b"v0:%b:%b" % (stamp, request.body)

    def challenge(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Reply | None:
        """Prove to Zoom that the secret is known here, if it is Zoom that asks."""
        if b"url_validation" not in request.body:
            return None
        verdict = self.verify(request, secrets, now)
        if isinstance(verdict, Refused) or request.inside("event") != "endpoint.url_validation":
            return None
        plain = word(request.inside("payload", "plainToken")) or ""
        secret = next(each for each in secrets if each.name == verdict.secret)
        answer = {
            "plainToken": plain,
            "encryptedToken": digest(secret.reveal().encode(), plain.encode()).hex(),
        }
        return Reply(200, json.dumps(answer).encode(), (("Content-Type", "application/json"),))
