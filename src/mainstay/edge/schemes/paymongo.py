"""PayMongo: payments in the Philippines."""

from typing import ClassVar

from mainstay.core.units import Duration
from mainstay.edge.schemes.shapes import Fields


class PayMongo(Fields, type="paymongo"):
    """`Paymongo-Signature: t=TIME,te=HMAC,li=HMAC`, over `TIME.BODY`: `te` for test events, `li` for live ones.

    A webhook is a test or a live one and has a secret of its own, so that test events are refused where only the live
    webhook's secret is known.
    """

    signature_header: ClassVar[str] = "Paymongo-Signature"
    signature_fields: ClassVar[tuple[str, ...]] = ("te", "li")
    id_path: ClassVar[tuple[str, ...]] = ("data", "id")
    type_path: ClassVar[tuple[str, ...]] = ("data", "attributes", "type")

    # PayMongo does not say whether it signs a second attempt anew; a shorter time might refuse all but the first.
    tolerance: Duration = 86400.0
