"""PayPal: payments, orders, subscriptions, disputes."""

import re
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from mainstay.core.secret import Secret
from mainstay.core.units import Duration
from mainstay.edge.schemes import asymmetric
from mainstay.edge.schemes.base import CannotSign, Delivery, Refused, Verified
from mainstay.edge.schemes.proof import NO_MATCH, raw, strict_base64
from mainstay.edge.schemes.timed import Timed

SIGNATURE, ID, TIME = "Paypal-Transmission-Sig", "Paypal-Transmission-Id", "Paypal-Transmission-Time"
ALGORITHM = "SHA256withRSA"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_LONGEST = 128


class PayPal(Timed, type="paypal"):
    """`Paypal-Transmission-Sig`: RSA over id, time, webhook and the body's CRC-32. The secret is PayPal's certificate.

    It is pinned: nothing is fetched, whatever address a request names. A CRC-32 is no proof of a body: whoever has seen
    one request can change its body so that the sum stays the same. Take it by https only, and ask PayPal for what an
    event is about before money moves.
    """

    needs_secret: ClassVar[bool] = True
    id_path: ClassVar[tuple[str, ...]] = ("id",)
    type_path: ClassVar[tuple[str, ...]] = ("event_type",)

    webhook_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,50}$", examples=["9XL90610J3647323C"])]
    """What PayPal calls this webhook, as its developer dashboard shows it beside the address."""
    # PayPal tries for three days and does not say whether it signs anew; `dedup` remembers for as long.
    tolerance: Duration = 255600.0

    def fault(self, secret: str) -> str | None:
        """Say whether it is a certificate of PayPal's."""
        try:
            found = asymmetric.certificate(secret)
        except ValueError as fault:
            return f"it is no certificate to check signatures with: {fault}"
        if not any(name == "paypal.com" or name.endswith(".paypal.com") for name in found.names):
            return "it is not a certificate of paypal.com; fetch the address in a Paypal-Cert-Url header"
        return None

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Check the signature with every certificate, then judge the time."""
        signature = strict_base64(request.headers.get(SIGNATURE) or "")
        name, stamp = request.headers.get(ID) or "", request.headers.get(TIME) or ""
        if not signature:
            return Refused(f"no signature in the header {SIGNATURE}")
        if request.headers.get("Paypal-Auth-Algo") != ALGORITHM:
            return Refused(f"the header Paypal-Auth-Algo does not say {ALGORITHM}")
        if not 0 < len(name) <= _LONGEST or "|" in name or len(stamp) > _LONGEST:
            return Refused(f"no identifier in the header {ID}")
        content = raw(f"{name}|{stamp}|{self.webhook_id}|{zlib.crc32(request.body)}")
        found = asymmetric.proven(secrets, [signature], content, asymmetric.rsa)
        if found is None:
            return NO_MATCH
        sent_at = _seconds(stamp)
        if sent_at is None:
            return Refused(f"no time in the header {TIME}")
        return self._lapsed(found, now) or self.stale(sent_at, now) or Verified(found.name, sent_at)

    @staticmethod
    def _lapsed(secret: Secret, now: float) -> Refused | None:
        """Say that a certificate has ended; PayPal signs with a new one by then."""
        ended = asymmetric.certificate(secret.reveal()).ends_at < now
        return (
            Refused("the certificate that it was signed with has expired; configure the new one")
            if ended
            else None
        )

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Refuse: the secret is a certificate."""
        raise CannotSign(
            "only PayPal can sign as PayPal: the secret is the certificate of its public key",
            hint="make a payment in PayPal's sandbox; what its simulator sends is signed for no webhook",
        )


def _seconds(text: str) -> float | None:
    """Read `2026-09-21T22:00:46Z` as seconds since 1970."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
