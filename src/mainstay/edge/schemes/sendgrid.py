"""Twilio SendGrid: what became of e-mails."""

from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.core.units import Duration
from mainstay.edge.schemes import asymmetric
from mainstay.edge.schemes.base import CannotSign, Delivery, Refused, Verified
from mainstay.edge.schemes.proof import (
    NO_MATCH,
    raw,
    seconds,
    strict_base64,
)
from mainstay.edge.schemes.timed import Timed

SIGNATURE, TIME = "X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"


class SendGrid(Timed, type="sendgrid"):
    """`X-Twilio-Email-Event-Webhook-Signature`: ECDSA over time and body. The secret is the verification key.

    Events come in lists; a list is known by its body.
    """

    needs_secret: ClassVar[bool] = True

    # SendGrid tries for a day and does not say whether it signs anew.
    tolerance: Duration = 90000.0

    def fault(self, secret: str) -> str | None:
        """Say whether it is a public key."""
        try:
            asymmetric.ecdsa_key(secret)
        except ValueError:
            return "it is no verification key; copy it whole from Mail Settings"
        return None

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Check the signature with every key, then judge the time."""
        signature = strict_base64(request.headers.get(SIGNATURE) or "")
        stamp = request.headers.get(TIME) or ""
        if not signature:
            return Refused(f"no signature in the header {SIGNATURE}")
        found = asymmetric.proven(secrets, [signature], raw(stamp) + request.body, asymmetric.ecdsa)
        if found is None:
            return NO_MATCH
        sent_at = seconds(stamp)
        if sent_at is None:
            return Refused(f"no time in the header {TIME}")
        return self.stale(sent_at, now) or Verified(found.name, sent_at)

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Refuse: the secret is a public key."""
        raise CannotSign(
            "only SendGrid can sign as SendGrid: the secret is its public key",
            hint="press Test Integration in SendGrid's Mail Settings",
        )
