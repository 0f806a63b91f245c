"""Standard Webhooks 1.0: what many senders agree on, and what mainstay itself sends."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from mainstay.core.secret import Secret
from mainstay.core.standard_webhooks import PREFIX, signature, signed
from mainstay.edge.schemes import asymmetric
from mainstay.edge.schemes.base import CannotSign, Delivery, Refused, Verified
from mainstay.edge.schemes.proof import (
    NO_MATCH,
    listed,
    matching,
    raw,
    seconds,
    strict_base64,
)
from mainstay.edge.schemes.timed import Timed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SHARED, PUBLIC, PRIVATE = PREFIX, "whpk_", "whsk_"


class StandardWebhooks(Timed, type="standard_webhooks"):
    """`webhook-signature` over `ID.TIME.BODY`, as in Standard Webhooks 1.0. So do GitLab's signing tokens and mainstay.

    Secrets are `whsec_` and base64 (HMAC-SHA256, `v1`), or the sender's public key, `whpk_` and base64 (Ed25519,
    `v1a`). A secret without either prefix is taken as base64 and as text.
    """

    headers: ClassVar[tuple[str, str, str]] = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id_header: ClassVar[str] = "webhook-id"
    type_path: ClassVar[tuple[str, ...]] = ("type",)

    def fault(self, secret: str) -> str | None:
        """Say whether the secret is what its prefix says."""
        for prefix, sizes in ((SHARED, ()), (PUBLIC, (32,)), (PRIVATE, (32, 64))):
            if secret.startswith(prefix):
                found = _decoded(secret.removeprefix(prefix))
                if not found or (sizes and len(found) not in sizes):
                    return f"it begins with {prefix} but is no such key; copy it whole"
        return None

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare each signature with those of every secret, then judge the time."""
        key, stamp, given = (request.headers.get(name) for name in self.headers)
        if not key or not stamp or not given:
            return Refused(f"one of the headers {', '.join(self.headers)} is missing")
        content = signed(raw(key), raw(stamp), request.body)
        found = self._match(secrets, listed(given, " +"), content)
        if found is None:
            return NO_MATCH
        sent_at = seconds(stamp)
        if sent_at is None:
            return Refused(f"no time in the header {self.headers[1]}")
        return self.stale(sent_at, now) or Verified(found.name, sent_at)

    def _match(self, secrets: Sequence[Secret], given: list[str], content: bytes) -> Secret | None:
        shared = [each for each in secrets if not each.reveal().startswith((PUBLIC, PRIVATE))]
        texts = [raw(one) for one in given if one.startswith("v1,")]
        if texts and (found := matching(shared, texts, lambda each: _signatures(each.reveal(), content))):
            return found
        pairs = [each for each in secrets if each not in shared]
        signatures = [strict_base64(one.removeprefix("v1a,")) for one in given if one.startswith("v1a,")]
        return asymmetric.proven(pairs, [one for one in signatures if one], content, _judge)

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Give the three headers."""
        stamp = str(int(now))
        content = signed(id.encode(), stamp.encode(), body)
        values = (id, stamp, _sign(secret.reveal(), content))
        return list(zip(self.headers, values, strict=True))


def _decoded(text: str) -> bytes:
    """Decode base64, whose padding may be missing; nothing when it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _keys(secret: str) -> Iterator[bytes]:
    if decoded := _decoded(secret.removeprefix(SHARED)):
        yield decoded
    if not secret.startswith(SHARED):
        yield secret.encode()


def _signatures(secret: str, content: bytes) -> list[bytes]:
    return [signature(key, content).encode() for key in _keys(secret)]


def _judge(secret: str, signature: bytes, content: bytes) -> bool:
    if secret.startswith(PUBLIC):
        return asymmetric.ed25519(_decoded(secret.removeprefix(PUBLIC)), signature, content)
    try:
        return asymmetric.ed25519(_private(secret).public_key().public_bytes_raw(), signature, content)
    except ValueError:
        return False


def _private(secret: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(_decoded(secret.removeprefix(PRIVATE))[:32])


def _sign(secret: str, content: bytes) -> str:
    if secret.startswith(PUBLIC):
        raise CannotSign(
            "the secret is the sender's public key, which cannot sign",
            hint="sign with the private key: a secret that begins with whsk_",
        )
    if secret.startswith(PRIVATE):
        return "v1a," + base64.b64encode(_private(secret).sign(content)).decode()
    signatures = _signatures(secret, content)
    if not signatures:
        raise CannotSign("the secret begins with whsec_ but is no such key", hint="copy it whole")
    return signatures[0].decode()
