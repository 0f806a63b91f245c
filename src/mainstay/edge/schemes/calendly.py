"""Calendly: appointments."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Fields


class Calendly(Fields, type="calendly"):
    """`Calendly-Webhook-Signature: t=TIME,v1=HMAC`, over `TIME.BODY`.

    Events have no id; they are known by their body.
    """

    signature_header: ClassVar[str] = "Calendly-Webhook-Signature"
    type_path: ClassVar[tuple[str, ...]] = ("event",)
