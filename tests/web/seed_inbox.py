"""Webhooks of the company's past: a bank, a shop and a code host, some delivered late, some dead."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mainstay.core.ids import first_id
from mainstay.store import inbox, inbox_delivery
from mainstay.store.base import Tx
from mainstay.store.inbox import DEAD, DELIVERED, KEPT, QUEUED, Arrival, key_of
from mainstay.store.inbox_delivery import Ending

BAD = "<script>alert('x')</script>\"'>&"
MINUTE, HOUR = 60.0, 3600.0


def arrival(number: int, at: float, source: str, kind: str, body: bytes, *, hostile: bool = False) -> Arrival:
    bad = BAD if hostile else ""
    digest = hashlib.sha256(body).hexdigest()
    theirs = f"evt_{number:04}{bad}"
    headers = [
        ["host", "hooks.example.com"],
        ["content-type", "application/json"],
        ["user-agent", f"{source.capitalize()}Hooks/2.4{bad}"],
        ["x-event-type", kind + bad],
        ["x-webhook-signature", "dGhpcyBpcyBub3QgYSByZWFsIHNpZ25hdHVyZSBidXQgbG9va3MgbGlrZSBvbmU="],
    ]
    return Arrival(
        id=f"{first_id(at)[:10]}{number:016}",
        source=source,
        received_at=at,
        headers=json.dumps(headers),
        body=body,
        digest=digest,
        peer="203.0.113.40",
        user_agent=f"{source.capitalize()}Hooks/2.4{bad}",
        secret=None if source == "github" and number % 5 == 0 else f"webhook_{source}",
        event_id=theirs,
        event_type=kind + bad,
        key=key_of(theirs, digest),
    )


def payment(number: int, *, hostile: bool = False) -> bytes:
    name = BAD if hostile else ("Maria Santos", "José Rizal", "Ana Reyes")[number % 3]
    body = (
        f'{{"id": "evt_{number:04}", "type": "payment.{"failed" if number % 4 == 3 else "settled"}",\n'
        f' "data": {{"amount": {1250 + number * 35}.00, "currency": "PHP", "fee": 1e1,\n'
        f'  "customer": {{"name": "{name}", "reference": "INV-{2300 + number}"}},\n'
        f'  "attempts": [{{"at": "2026-11-25T0{number % 10}:12:44Z", "channel": "instapay"}}]}}}}\n'
    )
    return body.encode()


def webhooks(tx: Tx, now: float, *, hostile: bool = False) -> None:
    """Everything that came within a day."""
    made = []
    for number in range(36):
        at = now - 9 * MINUTE - (36 - number) * 0.6 * HOUR
        source, kind = ("bank", "payment.failed" if number % 4 == 3 else "payment.settled")
        if number % 3 == 1:
            source, kind = "shop", ("orders/create", "orders/paid")[number % 2]
        if number % 7 == 2:
            source, kind = "github", "push"
        made.append(arrival(number, at, source, kind, payment(number, hostile=hostile), hostile=hostile))
    for number in range(36, 41):
        at = now - (41 - number) * 90.0
        kind = "payment.settled"
        made.append(arrival(number, at, "bank", kind, payment(number, hostile=hostile), hostile=hostile))
    for number in range(41, 46):
        body = payment(number, hostile=hostile)
        one = arrival(
            number, now - (46 - number) * 4 * HOUR, "partner", "ledger.closed", body, hostile=hostile
        )
        one.state = KEPT
        made.append(one)
    inbox.put_many(tx, made)
    endings = []
    for number, one in enumerate(made):
        endings += _endings(number, one, now)
    for ending in endings:
        inbox_delivery.settle(tx, [ending])
    inbox_delivery.stand(tx, "bank", "open", now - 7 * MINUTE, "503 the ledger is being upgraded")
    inbox.used(tx, [(("bank", "webhook_bank"), now - 90.0)])


def _endings(number: int, one: Arrival, now: float) -> list[Ending]:
    def end(attempt: int, state: str, at: float, status: int | None, detail: str, **more: Any) -> Ending:
        return Ending(one.id, one.source, attempt, state, at, 0.021 * attempt, status, detail, **more)

    at = one.received_at
    if one.state == KEPT:
        return []
    if number >= 36:
        if number > 37:
            return []
        detail = "503 the ledger is being upgraded"
        return [end(1, QUEUED, at + 0.02, 503, detail, next_at=now + 4 * MINUTE)]
    if number in (17, 25):
        tries = [
            end(n, QUEUED, at + n * HOUR / 2, 422, "422 no such order", next_at=at + n * HOUR)
            for n in (1, 2, 3)
        ]
        return [*tries, end(4, DEAD, at + 2 * HOUR, 422, "422 no such order")]
    if number == 30:
        late = [end(1, QUEUED, at + 0.02, None, "no answer within 30s", next_at=at + 6)]
        return [*late, end(2, DELIVERED, at + 6, 200, "200 ok")]
    return [end(1, DELIVERED, at + 0.04, 200, '200 {"received": true}')]
