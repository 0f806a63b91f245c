"""Asks origins how they are, on connections of their own."""

import asyncio
from collections.abc import Callable, Sequence

from mainstay.edge.gateway.settings_origin import HealthSettings
from mainstay.edge.http.exchange import Header
from mainstay.edge.proxy.answerhead import AnswerHead
from mainstay.edge.proxy.origin import REASONS, Origin
from mainstay.ports.clock import Clock

LOOK_EVERY = 5.0
"""Seconds between two looks at origins that fail and have no health check."""


class _Question:
    """Takes the answer to one health check."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def _say(self, why: str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(why)

    def interim(self, status: int) -> None: ...

    def answer(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        self._say("" if 200 <= head.status < 400 else f"it answers {head.status}")

    def more(self, piece: bytes) -> None: ...

    def complete(self) -> None: ...

    def broke(self, why: str, heard: bool) -> None:
        self._say(REASONS.get(why, why))

    def switched(self, headers: list[Header], rest: bytes) -> None:
        self._say("it changes the protocol")

    def slow(self, is_slow: bool) -> None: ...


async def answers(origin: Origin, health: HealthSettings | None) -> str:
    """Ask one origin; give "" when it is well, else what is wrong. Without a check a connection is enough."""
    try:
        upstream = await origin.dial()
    except TimeoutError:
        return REASONS["timeout"]
    except (OSError, ValueError):
        return REASONS["refused"]
    if health is None:
        upstream.close()
        return ""
    question = _Question()
    host = health.host.encode() if health.host else origin.authority
    head = b"GET %b HTTP/1.1\r\nhost: %b\r\nuser-agent: mainstay-health\r\nconnection: close\r\n\r\n" % (
        health.path.encode(),
        host,
    )
    upstream.ask(question, head, bodyless=False, upgrading=False, whole=True)
    try:
        async with asyncio.timeout(health.timeout):
            return await question.outcome
    except TimeoutError:
        return f"no answer within {health.timeout:g} s"
    finally:
        upstream.close()


class Doctor:
    """Asks the origins of a route again and again, and writes what it heard into them.

    Without a health check it only looks whether those that fail can be connected to: else nobody would know that one is
    back before a request has tried it.
    """

    def __init__(self, health: HealthSettings | None, clock: Clock) -> None:
        self.health = health
        self.clock = clock
        self._task: asyncio.Task[None] | None = None

    def watch(self, origins: Callable[[], Sequence[Origin]]) -> None:
        """Ask whatever `origins` gives, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._run(origins))

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, origins: Callable[[], Sequence[Origin]]) -> None:
        while True:
            await asyncio.gather(*(self.look(origin) for origin in origins()))
            await self.clock.sleep(self.health.every if self.health else LOOK_EVERY)

    async def look(self, origin: Origin) -> None:
        """Ask one origin and judge it: several bad answers in a row take it out, a good one takes it in."""
        if self.health is None:
            if origin.state() != "up":
                origin.looked_at(await answers(origin, None))
            return
        origin.examined(await answers(origin, self.health), self.health.fails)
