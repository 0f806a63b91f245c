"""Mailgun: what became of e-mails."""

import json
import secrets as chance
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.core.units import Duration
from mainstay.edge.schemes.base import CannotSign, Delivery, Refused, Sending, Verified, parse, word
from mainstay.edge.schemes.proof import (
    NO_MATCH,
    digest,
    matching,
    raw,
    seconds,
)
from mainstay.edge.schemes.timed import Timed


class Mailgun(Timed, type="mailgun"):
    """`signature` inside the body's JSON: HMAC-SHA256 over a time and a token.

    The event itself is not signed: who saw a request can put another event beside its signature. The token is taken for
    the event's id, so that this ends as a duplicate when the first one came through.
    """

    id_path: ClassVar[tuple[str, ...]] = ("signature", "token")
    type_path: ClassVar[tuple[str, ...]] = ("event-data", "event")

    # Mailgun tries for eight hours with the same body, signature and all.
    tolerance: Duration = 43200.0

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified | Refused:
        """Compare the signatures, also that of a parent account, with those of every secret, then judge the time."""
        stamp, token = (
            word(request.inside("signature", "timestamp")),
            word(request.inside("signature", "token")),
        )
        names = ("signature", "parent-signature")
        given = [word(request.inside("signature", name)) for name in names]
        if stamp is None or token is None or not any(given):
            return Refused("no signature with timestamp and token in the body")
        content = raw(stamp + token)
        found = matching(
            secrets,
            [raw(one) for one in given if one],
            lambda secret: [digest(secret.reveal().encode(), content).hex().encode()],
        )
        if found is None:
            return NO_MATCH
        sent_at = seconds(stamp)
        if sent_at is None:
            return Refused("no time beside the signature")
        return self.stale(sent_at, now) or Verified(found.name, sent_at)

    def outgoing(self, sending: Sending, secret: Secret, now: float) -> Sending:
        """Put the signature into the body."""
        body = parse(sending.body)
        if not isinstance(body, dict):
            raise CannotSign("the body is no JSON object, in which the signature stands", hint="--body FILE")
        stamp, token = str(int(now)), sending.id or chance.token_hex(25)
        mac = digest(secret.reveal().encode(), (stamp + token).encode()).hex()
        body["signature"] = {"timestamp": stamp, "token": token, "signature": mac}
        return replace(sending, body=json.dumps(body).encode())

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """Add no header: the signature belongs into the body, see `outgoing`."""
        return []

    def example(self, id: str, type: str | None, now: float) -> bytes:
        """Make the body of a test event."""
        return json.dumps({"event-data": {"event": type or "delivered", "id": id}}).encode()
