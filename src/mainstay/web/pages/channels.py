"""`GET /channels`: what people are owed, what they were told last, and why something has not arrived."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mainstay.store import views
from mainstay.store.base import Row, Tx
from mainstay.web.health import facts_of
from mainstay.web.site import show, site_of

PER_PAGE = 50


async def listing(request: Request) -> Response:
    """Every channel, and the messages."""
    site = site_of(request)
    chosen = request.query_params.get("channel", "")
    owed = request.query_params.get("owed") == "1"
    before = request.query_params.get("before", "")

    def look(tx: Tx) -> dict[str, Any]:
        found = views.outbox(tx, channel=chosen, owed=owed, before=before, limit=PER_PAGE + 1)
        standing = views.channels(tx)
        names = [one.name for one in site.plan.channels]
        return {
            "standing": standing,
            "errors": views.channel_errors(tx),
            "gone": [row for name, row in standing.items() if name not in names and row["owed"]],
            "messages": [told(row) for row in found[:PER_PAGE]],
            "more": found[PER_PAGE - 1]["id"] if len(found) > PER_PAGE else None,
        }

    return await show(request, "channels.html", look, chosen=chosen, owed=owed)


def told(row: Row) -> dict[str, Any]:
    """A message's row with what it says."""
    message = facts_of({"facts": row["message"]})
    return {
        **row,
        "title": message.get("title") or row["title"] or "",
        "kind": message.get("kind", ""),
        "delay": None if row["sent_at"] is None else row["sent_at"] - row["event_at"],
    }
