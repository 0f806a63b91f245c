"""Slack: events, commands and buttons of an app."""

from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Refused, Reply, word
from mainstay.edge.schemes.shapes import Stamped


class Slack(Stamped, type="slack"):
    """`X-Slack-Signature`: HMAC-SHA256 over `v0:TIME:BODY`. The question `url_verification` is answered."""

    signature_header: ClassVar[str] = "X-Slack-Signature"
    time_header: ClassVar[str] = "X-Slack-Request-Timestamp"
    prefix: ClassVar[str] = "v0="
    id_path: ClassVar[tuple[str, ...]] = ("event_id",)

    def content(self, stamp: bytes, request: Delivery) -> bytes:
        """Give what is signed."""
        return b"v0:%b:%b" % (stamp, request.body)

    def challenge(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Reply | None:
        """Give back the challenge, if Slack itself asks."""
        if b"url_verification" not in request.body or isinstance(self.verify(request, secrets, now), Refused):
            return None
        challenge = word(request.inside("challenge"))
        asked = request.inside("type") == "url_verification"
        return Reply(200, challenge.encode()) if challenge and asked else None

    def event_type(self, request: Delivery) -> str | None:
        """Give the type of the inner event, or of what is around it."""
        return word(request.inside("event", "type")) or word(request.inside("type"))

    def example(self, id: str, type: str | None, now: float) -> bytes:
        """Make the body of a test event."""
        import json

        body = {"type": "event_callback", "event_id": id, "event": {"type": type or "test"}}
        return json.dumps(body).encode()
