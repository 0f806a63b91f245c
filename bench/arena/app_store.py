"""uvicorn before our own inbox: the same judging and storing, another HTTP. `python -m bench.arena.app_store PORT`.

The journal is `journal.db` in the current directory; the configuration is `mainstay.yaml` there.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from mainstay.config.load import load
from mainstay.edge.http.exchange import Exchange, Head, Header, Receiver
from mainstay.edge.http.meter import Meter
from mainstay.edge.inbox.intake import Intake
from mainstay.edge.inbox.log import DIRECTORY
from mainstay.edge.inbox.open import open_intake
from mainstay.ports.clock import SystemClock
from mainstay.store.open import open_store
from tests.servers.process import LOOPBACK

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Borrowed:
    """The parts of an exchange that the intake uses, over ASGI."""

    secure = False
    certificate = None
    gone = False

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        headers: list[Header] = scope["headers"]
        found = dict(headers)
        size = found.get(b"content-length")
        self.head = Head(
            scope["method"].encode(), scope["raw_path"], scope["raw_path"], scope["query_string"], b"1.1",
            found.get(b"host", b""), headers, int(size) if size else None,
        )  # fmt: skip
        self.peer: str = scope["client"][0]
        self.receiver: Receiver | None = None
        self.answer: asyncio.Future[tuple[int, Iterable[Header], bytes]] = asyncio.Future()

    def receive(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def respond(self, status: int, headers: Iterable[Header] = (), body: bytes = b"") -> None:
        self.answer.set_result((status, headers, body))


async def serve(intake: Intake, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Take one request."""
    exchange = Borrowed(scope)
    intake.accept(as_exchange(exchange))
    receiver = exchange.receiver
    if receiver is not None:
        more = True
        while more:
            message = await receive()
            receiver.data(message.get("body", b""))
            more = message.get("more_body", False)
        receiver.end()
    status, headers, body = await exchange.answer
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def as_exchange(borrowed: Any) -> Exchange:
    """What the intake does not use is not there."""
    found: Exchange = borrowed
    return found


async def main(port: str) -> None:
    config = load(Path("mainstay.yaml"))
    clock = SystemClock()
    connect = partial(open_store, config.journal_url, clock)
    async with open_intake(config.webhooks, connect, config.state_dir / DIRECTORY, clock, Meter()) as intake:

        async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            await serve(intake, scope, receive, send)

        settings = uvicorn.Config(
            app, LOOPBACK, int(port), http="httptools", lifespan="off", access_log=False, log_level="error"
        )
        await uvicorn.Server(settings).serve()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(*sys.argv[1:]))
