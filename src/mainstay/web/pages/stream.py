"""Server-sent events: what changed, and a run's log as it is written."""

import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from mainstay.store import views
from mainstay.store.base import Row, Tx
from mainstay.web.live import BEAT, LIFE, TOPICS
from mainstay.web.site import Site, site_of

OVER = ("done", "failed", "cancelled", "parked")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def events(request: Request) -> StreamingResponse:
    """`GET /events?topics=results,incidents`: an event `change` whenever one of the topics changes."""
    wanted = set(request.query_params.get("topics", ",".join(TOPICS)).split(",")) & set(TOPICS)
    stream = site_of(request).live.stream(wanted)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


async def log(request: Request) -> StreamingResponse:
    """`GET /runs/ID/log?after=SEQ`: events `lines` with new lines, `progress`, and `end` when the run has ended."""
    after = request.query_params.get("after", "0")
    after = request.headers.get("last-event-id", after)
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
    stream = follow(site_of(request), request.path_params["id"], start)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


async def follow(site: Site, identifier: str, after: int) -> AsyncIterator[str]:
    """Give a run's log from a line on, until the run ends."""
    ends = site.clock.monotonic() + LIFE
    progress, look_again = None, True

    def look(tx: Tx) -> tuple[Row | None, list[Row]]:
        return views.run(tx, identifier), views.log_after(tx, identifier, after)

    with site.live.listening() as listener:
        yield "retry: 2000\n\n"
        while not site.live.closed and site.clock.monotonic() < ends:
            run, lines = await site.store.read(look) if look_again else (None, [])
            if lines:
                after = lines[-1]["seq"]
                yield event("lines", written(site, lines), after)
                continue
            if look_again and (run is None or run["state"] in OVER):
                yield event("end", {"state": run["state"] if run else "missing"})
                return
            if run is not None and run["progress"] != progress:
                progress = run["progress"]
                yield event("progress", json.loads(progress) if progress else None)
            seen = await listener.next(site.clock, BEAT)
            look_again = not seen or bool(seen & {"log", "runs"})
            if not seen:
                yield ": beat\n\n"


def written(site: Site, lines: list[Row]) -> list[dict[str, object]]:
    """Lines as the page shows them."""
    moments = site.moments()
    return [{"seq": row["seq"], "time": moments.clock(row["at"]), "line": row["line"]} for row in lines]


def event(name: str, data: object, identifier: int | None = None) -> str:
    """Write one event."""
    head = f"id: {identifier}\n" if identifier is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
