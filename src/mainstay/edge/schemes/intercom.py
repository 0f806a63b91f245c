"""Intercom: customers' messages."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Signed


class Intercom(Signed, type="intercom"):
    """`X-Hub-Signature`: HMAC-SHA1 over the body, with the secret of the app."""

    signature_header: ClassVar[str] = "X-Hub-Signature"
    algorithm: ClassVar[str] = "sha1"
    prefix: ClassVar[str] = "sha1="
    id_path: ClassVar[tuple[str, ...]] = ("id",)
    type_path: ClassVar[tuple[str, ...]] = ("topic",)
