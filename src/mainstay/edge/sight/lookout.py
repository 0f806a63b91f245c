"""Looks at the gateway of this machine every few seconds, and writes into the journal what it saw."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from mainstay.core.errors import JournalError
from mainstay.core.incident import Severity
from mainstay.edge.http.meter import read
from mainstay.edge.proxy.control import states
from mainstay.edge.sight.judge import Trouble, judge, settle
from mainstay.edge.sight.merge import merged
from mainstay.edge.sight.traffic import Rates, totals
from mainstay.ports.clock import Clock
from mainstay.store import gateway, incidents
from mainstay.store.base import Store, Tx
from mainstay.store.gateway import MINUTE, Seen, Traffic

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks."""
PATIENCE = 2.0
"""Seconds that a process of the edge has to say how it is."""
SERVICE = "gateway"
"""What its incidents are of."""


class Conditions(Protocol):
    """Where people are told; the incidents' desk is one."""

    def raise_condition(
        self,
        tx: Tx,
        key: str,
        *,
        service: str,
        severity: Severity,
        title: str,
        detail: str,
        hint: str | None = None,
    ) -> object:
        """Say that something is wrong, until it is cleared."""
        ...

    def clear_condition(self, tx: Tx, key: str, detail: str = "") -> object:
        """Say that it is fine again."""
        ...


class Lookout:
    """The agent's look at the edge beside it, whose sockets and numbers are in `directory`.

    Each machine's agent looks at its own, and judges all: whoever writes last knows what everybody saw.
    """

    def __init__(
        self, store: Store, clock: Clock, host: str, directory: Path, conditions: Conditions
    ) -> None:
        self._store = store
        self._clock = clock
        self._host = host
        self._directory = directory
        self._conditions = conditions
        self._rates = Rates()
        self._minute = -1.0
        self._since: float | None = None

    async def serve(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except JournalError as fault:
                log.warning("what the gateway does is not written down: %s", fault)
            except Exception:  # a row or an answer of another version must not end the agent
                log.exception("the look at the gateway failed")
            await self._clock.sleep(EVERY)

    async def look(self) -> None:
        """Look once and write it down. Raises `JournalError`: then this one look is missing."""
        answers, silent = await asyncio.to_thread(states, self._directory, PATIENCE)
        now = self._clock.now()
        counted = await asyncio.to_thread(read, self._directory, now)
        if not counted and not answers and not silent:
            return  # the edge has never run on this machine
        self._since = None if answers else self._since or now
        fresh = self._rates.take(self._clock.monotonic(), totals(counted))
        state = {**merged(answers, silent), "gone_since": self._since, "lately": self._rates.lately()}
        traffic = [one for one in fresh.values() if one.answers or one.failed]
        if not traffic and now // MINUTE != self._minute:
            traffic = [Traffic("")]  # it was looked at, and nothing had come: that is not the same as no look
        if traffic:
            self._minute = now // MINUTE
        await self._store.write(partial(self._write, seen=Seen(self._host, now, state), traffic=traffic))

    def _write(self, tx: Tx, seen: Seen, traffic: Sequence[Traffic]) -> None:
        gateway.put_seen(tx, seen)
        gateway.add(tx, self._host, seen.at, traffic)
        live = [incident.key for incident in incidents.live(tx)]
        settle(judge(gateway.seen(tx), seen.at), live, partial(self._tell, tx), partial(self._end, tx))

    def _tell(self, tx: Tx, trouble: Trouble) -> None:
        self._conditions.raise_condition(
            tx,
            trouble.key,
            service=SERVICE,
            severity=trouble.severity,
            title=trouble.title,
            detail=trouble.detail,
            hint=trouble.hint,
        )

    def _end(self, tx: Tx, key: str) -> None:
        self._conditions.clear_condition(tx, key, "it is well again, or is not used any more")
