"""Discord: interactions and events of an app."""

import json
import re
from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes import asymmetric
from mainstay.edge.schemes.base import CannotSign, Delivery, Refused, Reply, Verified, word
from mainstay.edge.schemes.proof import NO_MATCH, raw, seconds
from mainstay.edge.schemes.timed import Timed

LARGEST_PING = 4096
PINGS = {0: Reply(204, headers=()), 1: Reply(200, b'{"type":1}', (("Content-Type", "application/json"),))}
"""What is answered to the pings of events (0) and of interactions (1)."""


class Discord(Timed, type="discord"):
    """`X-Signature-Ed25519` over time and body. The secret is the app's public key, in hex. Pings are answered."""

    id_path: ClassVar[tuple[str, ...]] = ("id",)
    type_path: ClassVar[tuple[str, ...]] = ("event", "type")

    def fault(self, secret: str) -> str | None:
        """Say whether it is a public key."""
        return (
            None
            if re.fullmatch(r"[0-9a-f]{64}", secret)
            else "it is no public key of an app: 64 digits in hex"
        )

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Check the signature with every key, then judge the time."""
        given = request.headers.get("X-Signature-Ed25519") or ""
        stamp = request.headers.get("X-Signature-Timestamp") or ""
        if not re.fullmatch(r"[0-9a-f]{128}", given):
            return Refused("no signature in the header X-Signature-Ed25519")
        found = asymmetric.proven(secrets, [bytes.fromhex(given)], raw(stamp) + request.body, _judge)
        if found is None:
            return NO_MATCH
        sent_at = seconds(stamp)
        if sent_at is None:
            return Refused("no time in the header X-Signature-Timestamp")
        return self.stale(sent_at, now) or Verified(found.name, sent_at)

    def challenge(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Reply | None:
        """Answer a ping, if it is Discord that asks."""
        if len(request.body) > LARGEST_PING or isinstance(self.verify(request, secrets, now), Refused):
            return None
        return _ping(request)

    def event_type(self, request: Delivery) -> str | None:
        """Give the type of an event, or the number of a kind of interaction."""
        return word(request.inside("event", "type")) or word(request.inside("type"))

    def example(self, id: str, type: str | None, now: float) -> bytes:
        """Make the body of a test event."""
        return json.dumps({"id": id, "type": 2, "data": {"name": type or "test"}}).encode()

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Refuse: the secret is a public key."""
        raise CannotSign(
            "only Discord can sign as Discord: the secret is its public key",
            hint="press Save in Discord's developer portal, which sends signed requests",
        )


def _judge(key: str, signature: bytes, content: bytes) -> bool:
    try:
        return asymmetric.ed25519(bytes.fromhex(key), signature, content)
    except ValueError:
        return False


def _ping(request: Delivery) -> Reply | None:
    """Give the answer to a ping. Event notices have `event` and type 1, too, but are none."""
    kind = request.inside("type")
    if not isinstance(kind, int) or isinstance(kind, bool) or request.inside("event") is not None:
        return None
    return PINGS.get(kind)
