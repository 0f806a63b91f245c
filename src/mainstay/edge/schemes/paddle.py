"""Paddle: subscriptions (Paddle Billing)."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Fields


class Paddle(Fields, type="paddle"):
    """`Paddle-Signature: ts=TIME;h1=HMAC`, over `TIME:BODY`; while a secret is rolled there are two `h1`."""

    signature_header: ClassVar[str] = "Paddle-Signature"
    separator: ClassVar[str] = ";"
    time_field: ClassVar[str] = "ts"
    signature_fields: ClassVar[tuple[str, ...]] = ("h1",)
    joint: ClassVar[bytes] = b":"
    id_path: ClassVar[tuple[str, ...]] = ("event_id",)
    type_path: ClassVar[tuple[str, ...]] = ("event_type",)
