"""PagerDuty: incidents (webhooks version 3)."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Signed


class PagerDutyWebhooks(Signed, type="pagerduty"):
    """`X-PagerDuty-Signature: v1=HMAC`, over the body; several while a secret is changed."""

    signature_header: ClassVar[str] = "X-PagerDuty-Signature"
    prefix: ClassVar[str] = "v1="
    id_path: ClassVar[tuple[str, ...]] = ("event", "id")
    type_path: ClassVar[tuple[str, ...]] = ("event", "event_type")
