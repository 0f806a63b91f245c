"""Paystack: payments in Africa."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Signed


class Paystack(Signed, type="paystack"):
    """`x-paystack-signature`: HMAC-SHA512 over the body, with the secret key of the account.

    Events are known by their body.
    """

    signature_header: ClassVar[str] = "x-paystack-signature"
    algorithm: ClassVar[str] = "sha512"
    type_path: ClassVar[tuple[str, ...]] = ("event",)
