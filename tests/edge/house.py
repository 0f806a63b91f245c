"""The edge process with a handler for tests: `python -m tests.edge.house FILE`. It answers with the file's `title`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from mainstay.app import edge, logs
from mainstay.app.listeners import Opening, Surroundings
from mainstay.config.model import Config
from mainstay.edge.http.exchange import Exchange, Handler
from mainstay.engine.pulse import speaker
from tests.edge.door import Answering


@asynccontextmanager
async def opening(around: Surroundings) -> AsyncIterator[Handler]:
    """Answers at once; `/held` when the process is told to end."""
    title = (around.config.title or "").encode()
    held: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        if exchange.head.target == b"/held":
            exchange.begin(200, [], None)
            exchange.write(b"begun ")
            held.append(exchange)
        elif exchange.head.target == b"/release":
            exchange.respond(200)
            for each in held:
                each.write(b"ended")
                each.end()
        else:
            exchange.respond(200, [], title)

    yield Answering(answer)


def handlers(config: Config) -> dict[str, Opening]:
    return {"gateway": opening}


if __name__ == "__main__":
    logs.to_stderr("edge")
    uvloop.run(edge.serve(Path(sys.argv[1]), speaker(), handlers))
