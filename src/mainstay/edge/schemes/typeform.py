"""Typeform: forms."""

from typing import ClassVar

from mainstay.edge.schemes.proof import Encoding
from mainstay.edge.schemes.shapes import Signed


class Typeform(Signed, type="typeform"):
    """`Typeform-Signature`: base64 of HMAC-SHA256 over the body."""

    signature_header: ClassVar[str] = "Typeform-Signature"
    encoding: ClassVar[Encoding] = "base64"
    prefix: ClassVar[str] = "sha256="
    id_path: ClassVar[tuple[str, ...]] = ("event_id",)
    type_path: ClassVar[tuple[str, ...]] = ("event_type",)
