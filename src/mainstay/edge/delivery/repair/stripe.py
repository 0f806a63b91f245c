"""Stripe keeps its events for thirty days."""

import base64
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from pydantic import Field

from mainstay.core.secret import Secret
from mainstay.edge.delivery.repair.base import Pairs, Repair, Sent
from mainstay.edge.delivery.repair.wire import RepairError, Wire
from mainstay.edge.delivery.repair.written import spaced

JSON = (("Content-Type", "application/json; charset=utf-8"),)


class StripeRepair(Repair, type="stripe"):
    """Asks Stripe's list of events, and takes those that are not in the inbox; Stripe keeps them for thirty days."""

    key: Secret
    """A restricted key that may read events (`rk_live_...`)."""
    types: list[str] = Field(default=[], max_length=20, examples=[["invoice.paid", "charge.refunded"]])
    """Only these types, at most twenty: those that the endpoint is subscribed to. All of them when left out."""
    api: str = Field(default="https://api.stripe.com", pattern=r"^https?://[^\s?#]+$")
    """The API's address."""

    async def sent(self, wire: Wire, since: float) -> AsyncIterator[Sent]:
        login = base64.b64encode(f"{self.key.reveal()}:".encode()).decode()
        asked = {"limit": "100", "created[gte]": str(int(since))}
        asked |= {f"types[{index}]": kind for index, kind in enumerate(self.types)}
        after: dict[str, str] = {}
        while True:
            page = await wire.get(f"{self.api}/v1/events", {"Authorization": f"Basic {login}"}, asked | after)
            try:
                events, more = list(page.document["data"]), bool(page.document["has_more"])
                for one in events:
                    yield Sent(str(one["id"]), float(one["created"]), str(one["type"]), partial(_load, one))
            except (KeyError, TypeError):
                raise RepairError("Stripe gave something else than a list of events") from None
            if not more or not events:
                return
            after = {"starting_after": str(events[-1]["id"])}


async def _load(event: dict[str, Any]) -> tuple[Pairs, bytes]:
    return JSON, spaced(event)
