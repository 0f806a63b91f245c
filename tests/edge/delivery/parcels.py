"""Events and tools for tests of delivery."""

from __future__ import annotations

from typing import Any

from mainstay.edge.delivery.parcel import Parcel
from mainstay.edge.delivery.targets import Tools
from mainstay.ports.clock import Clock, SystemClock
from mainstay.ports.resolver import Resolver

AT = 1_780_000_000.0


def parcel(**fields: Any) -> Parcel:
    """A payment, as a bank would tell of it; its body is not what a JSON library would write."""
    given: dict[str, Any] = {
        "id": "0cevent",
        "source": "bank",
        "received_at": AT,
        "headers": (("Content-Type", "application/json"), ("X-Bank-Event", "payment.made")),
        "body": b'{ "amount": 10.0, "caf\\u00e9": 1e2 }\n',
        "event_id": "evt_1",
        "type": "payment.made",
    }
    return Parcel(**{**given, **fields})


def tools(clock: Clock | None = None) -> Tools:
    """What targets may use of this machine."""
    clock = clock or SystemClock()
    return Tools(clock, Resolver(clock).resolve)
