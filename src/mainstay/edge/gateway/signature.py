"""The signature by which an origin knows that a request came through the gateway.

`X-Mainstay-Signature: t=SECONDS,s=BASE64URL`, where `s` is the HMAC-SHA256, with the key of `gateway.sign`, of these
lines joined by a line feed: `v1`, the method, path and query as the origin receives them, `t`, `X-User-ID` and
`X-User-Plan` (empty when they are not sent).
"""

import base64
import hmac

from mainstay.core.secret import Secret
from mainstay.edge.http.exchange import Header

NAME = b"x-mainstay-signature"


class Signer:
    """Signs what goes to origins."""

    def __init__(self, key: Secret) -> None:
        self._key = key.reveal().encode()

    def sign(self, method: bytes, target: bytes, subject: bytes, plan: bytes, wall: float) -> Header:
        """Sign a request; `target` is path and query as the origin receives them."""
        stamp = b"%d" % wall
        said = b"\n".join((b"v1", method, target, stamp, subject, plan))
        digest = hmac.digest(self._key, said, "sha256")
        return NAME, b"t=%b,s=%b" % (stamp, base64.urlsafe_b64encode(digest).rstrip(b"="))
