"""Shopify keeps no list of what it sent: what was changed meanwhile is asked for instead."""

import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import Field

from mainstay.core.secret import Secret
from mainstay.edge.delivery.repair.base import Kept, Pairs, Repair, Sent
from mainstay.edge.delivery.repair.wire import RepairError, Wire
from mainstay.edge.delivery.repair.written import compact


class ShopifyRepair(Repair, type="shopify"):
    """Asks for orders, customers and the like that were changed, and makes events of those that are not in the inbox.

    One event per resource: `RESOURCE/create` when it was made since, else `RESOURCE/updated`, with what it looks like
    now. What was deleted, and states in between, cannot be asked for.
    """

    shop: str = Field(pattern=r"^[\w.-]+(:\d+)?$", examples=["acme.myshopify.com"])
    """The shop's own address."""
    token: Secret
    """An Admin API access token that may read the resources."""
    resources: list[str] = Field(
        default=["orders"], min_length=1, examples=[["orders", "customers", "products"]]
    )
    """What is asked for: those that the shop sends webhooks about."""
    version: str = Field(default="2025-10", pattern=r"^\d{4}-\d{2}$")
    """Version of the Admin API; that of the webhooks."""
    insecure: bool = False
    """Whether the shop is asked without TLS. Only for trying out."""

    async def sent(self, wire: Wire, since: float) -> AsyncIterator[Sent]:
        for resource in self.resources:
            async for one in self._changed(wire, resource, since):
                yield one

    async def _changed(self, wire: Wire, resource: str, since: float) -> AsyncIterator[Sent]:
        scheme = "http" if self.insecure else "https"
        url: str | None = f"{scheme}://{self.shop}/admin/api/{self.version}/{resource}.json"
        moment = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
        params: dict[str, str] | None = {"updated_at_min": moment, "limit": "250"}
        if resource == "orders":
            params = {**(params or {}), "status": "any"}
        while url is not None:
            page = await wire.get(url, {"X-Shopify-Access-Token": self.token.reveal()}, params)
            try:
                for one in page.document[resource]:
                    yield self._sent(resource, one, since)
            except (KeyError, TypeError, ValueError):
                raise RepairError(f"Shopify gave something else than a list of {resource}") from None
            url, params = page.next, None

    def _sent(self, resource: str, one: dict[str, Any], since: float) -> Sent:
        changed, made = _moment(one["updated_at"]), _moment(one["created_at"])
        topic = f"{resource}/{'create' if made >= since else 'updated'}"
        key = _key(resource, one)
        headers = (
            ("Content-Type", "application/json"),
            ("X-Shopify-Topic", topic),
            ("X-Shopify-Shop-Domain", self.shop),
            ("X-Shopify-API-Version", self.version),
            ("X-Shopify-Event-Id", f"repair:{key}"),
        )
        return Sent(key, changed, topic, partial(_load, headers, one))

    def keys(self, kept: Iterable[Kept]) -> set[str]:
        found = set()
        for one in kept:
            resource = (one.event_type or "").partition("/")[0]
            try:
                document = json.loads(one.body)
                found.add(_key(resource, document))
            except (ValueError, KeyError, TypeError):
                continue
        return found


def _key(resource: str, one: dict[str, Any]) -> str:
    return f"{resource}:{one['id']}:{_moment(one['updated_at']):.0f}"


def _moment(text: Any) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


async def _load(headers: Pairs, one: dict[str, Any]) -> tuple[Pairs, bytes]:
    return headers, compact(one)
