"""Linear: issues and projects."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Refused, Verified
from mainstay.edge.schemes.shapes import Signed
from mainstay.edge.schemes.timed import Timed


class Linear(Signed, Timed, type="linear"):
    """`Linear-Signature`: HMAC-SHA256 over the body, which holds the time of sending as `webhookTimestamp`."""

    signature_header: ClassVar[str] = "Linear-Signature"
    id_header: ClassVar[str] = "Linear-Delivery"
    type_header: ClassVar[str] = "Linear-Event"

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the signature with those of every secret, then judge the time inside."""
        verdict = super().verify(request, secrets, now)
        if isinstance(verdict, Refused):
            return verdict
        stamp = request.inside("webhookTimestamp")
        if not isinstance(stamp, int) or isinstance(stamp, bool) or not 0 <= stamp < 10**15:
            return Refused("no webhookTimestamp in the body")
        return self.stale(stamp / 1000, now) or replace(verdict, sent_at=stamp / 1000)

    def example(self, id: str, type: str | None, now: float) -> bytes:
        """Make the body of a test event."""
        return json.dumps({"type": type or "Test", "webhookTimestamp": int(now * 1000)}).encode()
