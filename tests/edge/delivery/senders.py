"""GitHub, Stripe and Shopify as far as gap repair asks them: pages, limits, refusals."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

TOKEN = "swordfish-swordfish-swordfish"
HOOK = "repos/acme/shop/hooks/7"


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Senders:
    """What they have sent, how large a page is, and answers that come before the right one."""

    def __init__(self) -> None:
        self.page = 3
        self.github: list[dict[str, Any]] = []
        self.stripe: list[dict[str, Any]] = []
        self.shopify: dict[str, list[dict[str, Any]]] = {}
        self.before: list[tuple[int, dict[str, str]]] = []
        self.asked: list[str] = []
        self.url = ""
        self.since = ""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.moody])
        app.router.add_get(f"/{HOOK}/deliveries", self.deliveries)
        app.router.add_get(f"/{HOOK}/deliveries/{{id}}", self.delivery)
        app.router.add_get("/v1/events", self.events)
        app.router.add_get("/admin/api/2025-10/{resource}.json", self.resources)
        return app

    @web.middleware
    async def moody(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.before:
            status, headers = self.before.pop(0)
            return web.Response(status=status, headers=headers)
        tokens = (f"Bearer {TOKEN}", "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode())
        given = request.headers.get("Authorization"), request.headers.get("X-Shopify-Access-Token")
        if given[0] not in tokens and given[1] != TOKEN:
            return web.Response(status=401)
        return await handler(request)

    # --- GitHub: newest first, a cursor in the Link header, payloads one by one ---

    def pushed(self, number: int, at: float, *, status: int = 502) -> None:
        payload = {"ref": "refs/heads/main", "number": number, "who": "José"}
        one = {"id": 1000 + number, "guid": f"guid-{number}", "delivered_at": iso(at), "event": "push"}
        self.github.insert(0, {**one, "status_code": status, "payload": payload})

    async def deliveries(self, request: web.Request) -> web.Response:
        start = int(request.query.get("cursor", "0"))
        rows = [
            {k: v for k, v in one.items() if k != "payload"} for one in self.github[start : start + self.page]
        ]
        headers = {}
        if start + self.page < len(self.github):
            headers["Link"] = f'<{self.url}/{HOOK}/deliveries?cursor={start + self.page}>; rel="next"'
        return web.json_response(rows, headers=headers)

    async def delivery(self, request: web.Request) -> web.Response:
        one = next(each for each in self.github if str(each["id"]) == request.match_info["id"])
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Delivery": one["guid"],
            "X-GitHub-Event": one["event"],
            "X-Hub-Signature-256": "sha256=" + "0" * 64,
        }
        return web.json_response({**one, "request": {"headers": headers, "payload": one["payload"]}})

    # --- Stripe: newest first, starting_after, has_more ---

    def paid(self, number: int, at: float, kind: str = "invoice.paid") -> None:
        data = {"object": {"id": f"in_{number}", "amount": 1000}}
        self.stripe.insert(
            0, {"id": f"evt_{number}", "object": "event", "created": int(at), "type": kind, "data": data}
        )

    async def events(self, request: web.Request) -> web.Response:
        asked = request.query
        wanted = [value for name, value in asked.items() if name.startswith("types[")]
        found = [one for one in self.stripe if one["created"] >= int(asked["created[gte]"])]
        found = [one for one in found if not wanted or one["type"] in wanted]
        if after := asked.get("starting_after"):
            found = found[[one["id"] for one in found].index(after) + 1 :]
        return web.json_response(
            {"object": "list", "data": found[: self.page], "has_more": len(found) > self.page}
        )

    # --- Shopify: changed resources, a cursor in the Link header ---

    def changed(self, resource: str, number: int, made: float, at: float) -> dict[str, Any]:
        one = {"id": number, "created_at": iso(made), "updated_at": iso(at), "total": "10.00"}
        self.shopify.setdefault(resource, []).append(one)
        return one

    async def resources(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        start = int(request.query.get("page_info", "0"))
        # A cursor stands for its filters, too: Shopify refuses both at once.
        self.since = request.query.get("updated_at_min", self.since)
        since = datetime.fromisoformat(self.since)
        rows = [
            one
            for one in self.shopify.get(resource, [])
            if datetime.fromisoformat(one["updated_at"]) >= since
        ]
        headers = {}
        if start + self.page < len(rows):
            headers["Link"] = f'<{self.url}{request.path}?page_info={start + self.page}>; rel="next"'
        return web.json_response({resource: rows[start : start + self.page]}, headers=headers)


@asynccontextmanager
async def senders() -> AsyncIterator[Senders]:
    """All of them, at work on one port."""
    made = Senders()
    runner = web.AppRunner(made.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
