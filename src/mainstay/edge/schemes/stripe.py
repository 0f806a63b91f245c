"""Stripe: payments."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Fields


class Stripe(Fields, type="stripe"):
    """`Stripe-Signature: t=TIME,v1=HMAC`, over `TIME.BODY`; while a secret is rolled there are two `v1`."""

    signature_header: ClassVar[str] = "Stripe-Signature"
    id_path: ClassVar[tuple[str, ...]] = ("id",)
    type_path: ClassVar[tuple[str, ...]] = ("type",)
