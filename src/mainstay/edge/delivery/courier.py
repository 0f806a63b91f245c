"""The courier: brings what was taken in to its targets, for all sources, on one node at a time.

At least once: what the process had under way when it died is brought again, under the same id. It looks as soon as
something was taken in, and otherwise when the next attempt is due.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from mainstay.core.errors import JournalError, MainstayError
from mainstay.core.incident import Severity
from mainstay.edge.delivery import schedule
from mainstay.edge.delivery.breaker import State
from mainstay.edge.delivery.fetch import fetch
from mainstay.edge.delivery.keeper import Keeper
from mainstay.edge.delivery.lane import Conditions, Lane, Office, target_key
from mainstay.edge.delivery.settings import DeliverySettings
from mainstay.edge.delivery.targets.base import Tools
from mainstay.engine.patience import patiently, rest
from mainstay.store import inbox_delivery
from mainstay.store.base import Store, Tx
from mainstay.store.inbox import DEAD, DELIVERED, KEPT, TOPIC

log = logging.getLogger(__name__)

IDLE = 30.0
"""Seconds after which it looks although nothing seems to have happened."""
PATIENCE = 5.0
"""Seconds that attempts under way are given when the courier is to end."""
PRUNE_EVERY = 300.0
PRUNED = 500
"""Events forgotten in one write, so that nobody waits long for the journal."""


class Courier:
    """Delivers for the sources in `settings`, by name; those without a target only have old events forgotten.

    Attempts under way at the end are given `patience` seconds.
    """

    def __init__(
        self,
        store: Store,
        tools: Tools,
        settings: Mapping[str, DeliverySettings],
        conditions: Conditions,
        draw: random.Random | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._store = store
        self._tools = tools
        self._clock = tools.clock
        self._settings = settings
        self._conditions = conditions
        self._patience = patience
        self._began = tools.clock.now()
        self._news = asyncio.Event()
        self._keeper = Keeper(store, tools.clock)
        self._lanes: list[Lane] = []
        draw = draw or random.Random()  # noqa: S311 - spreads load, hides nothing
        self._office = Office(tools.clock, self._keeper, conditions, self._news.set, draw)

    async def serve(self) -> None:
        """Deliver until cancelled; what is under way then may end."""
        async with AsyncExitStack() as stack:
            for name, settings in self._settings.items():
                await self._open(stack, name, settings)
            await self._resume()
            helpers = [
                asyncio.ensure_future(each) for each in (self._keeper.serve(), self._listen(), self._prune())
            ]
            work = asyncio.ensure_future(self._work())
            try:
                await asyncio.wait([work, *helpers], return_when=asyncio.FIRST_COMPLETED)
                for task in (work, *helpers):
                    if task.done():
                        task.result()
            finally:
                work.cancel()
                await self._finish()
                for task in helpers:
                    task.cancel()
                await asyncio.gather(work, *helpers, return_exceptions=True)

    async def _open(self, stack: AsyncExitStack, name: str, settings: DeliverySettings) -> None:
        if settings.deliver_to is None:
            await patiently(self._store, self._clock, partial(self._nobody, name=name))
            return
        try:
            deliver = await stack.enter_async_context(
                settings.deliver_to.opened(self._tools, settings.concurrency)
            )
        except MainstayError as fault:
            log.error("webhooks.%s: %s", name, fault)
            await patiently(self._store, self._clock, partial(self._unusable, name=name, fault=fault))
            return
        self._lanes.append(Lane(name, settings, deliver, self._office))

    async def _resume(self) -> None:
        """Go on where the process before this one was: a target that was left alone is looked at first."""
        stands = await patiently(self._store, self._clock, inbox_delivery.deliveries, reading=True)
        for lane in self._lanes:
            stood = stands.get(lane.name)
            if stood is not None and stood.state == State.OPEN and stood.since is not None:
                lane.resume(self._clock.monotonic() - max(0.0, self._clock.now() - stood.since))

    def _nobody(self, tx: Tx, name: str) -> None:
        """Nobody takes this source's events, or nobody does any more: nothing waits, and no target is in trouble."""
        if kept := inbox_delivery.keep_only(tx, name, self._clock.now()):
            log.warning("webhooks.%s has no deliver_to: %d events that waited are kept", name, kept)
        if (stood := inbox_delivery.deliveries(tx).get(name)) is not None and stood.state != State.CLOSED:
            inbox_delivery.stand(tx, name, State.CLOSED, None, "")
        self._conditions.clear_condition(tx, target_key(name), f"{name} has no target any more")

    def _unusable(self, tx: Tx, name: str, fault: MainstayError) -> None:
        self._conditions.raise_condition(
            tx,
            target_key(name),
            service=name,
            severity=Severity.WARNING,
            title=f"{name}: the target cannot be used as it is configured",
            detail=f"{fault.what}; webhooks are kept until it can",
            hint=fault.hint,
        )

    async def _finish(self) -> None:
        """Let attempts under way end and be written down, so that they need not be repeated."""
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.gather(*(lane.drain() for lane in self._lanes))
                await self._keeper.idle()
        except (TimeoutError, asyncio.CancelledError):
            for lane in self._lanes:
                lane.stop()

    async def _listen(self) -> None:
        while True:
            await self._store.wait(TOPIC, IDLE)
            for lane in self._lanes:
                lane.scan = True
            self._news.set()

    async def _work(self) -> None:
        while True:
            self._news.clear()
            try:
                wait = await self._look()
            except JournalError as fault:
                log.warning("the courier waits for the journal: %s", fault)
                wait = 1.0
            await rest(self._clock, self._news, wait)

    async def _look(self) -> float:
        """Fetch for every lane that has room; give the seconds until the next look."""
        mono, now = self._clock.monotonic(), self._clock.now()
        wishes = [(lane, wish) for lane in self._lanes if (wish := lane.wish(mono, now))]
        if wishes:
            found = await self._store.read(lambda tx: [fetch(tx, wish, now) for _, wish in wishes])
            for (lane, _), got in zip(wishes, found, strict=True):
                lane.take(got)
        return max(0.0, min([IDLE, *[await self._until(lane) for lane in self._lanes]]))

    async def _until(self, lane: Lane) -> float:
        """Give the seconds until a lane is to be looked at; what a wrong clock put too far off is made due."""
        now = self._clock.now()
        far = now + schedule.longest(lane.settings.retry)
        if lane.due_at is not None and lane.due_at > far:
            await self._store.write(partial(inbox_delivery.astray, source=lane.name, far=far, now=now))
            lane.due_at, lane.scan = None, True
            return 0.0
        return lane.wait(self._clock.monotonic(), now)

    async def _prune(self) -> None:
        while True:
            try:
                await self._store.write(self._agree)
                await self._forget_old()
            except JournalError as fault:
                log.warning("old webhooks are forgotten later: %s", fault)
            await self._clock.sleep(PRUNE_EVERY)

    def _agree(self, tx: Tx) -> None:
        """Set right what was put down by an edge that followed the configuration later than we did.

        Without this, what came meanwhile for a new target would be brought to nobody, and be forgotten in the end.
        """
        for name, settings in self._settings.items():
            if settings.deliver_to is None:
                inbox_delivery.keep_only(tx, name, self._clock.now())
            elif brought := inbox_delivery.keep_no_more(tx, name, self._began, self._clock.now()):
                log.warning("%d events of webhooks.%s were kept by an old configuration", brought, name)

    async def _forget_old(self) -> None:
        for name, settings in self._settings.items():
            for state, keep in (
                (DELIVERED, settings.keep),
                (KEPT, settings.keep),
                (DEAD, settings.keep_dead),
            ):
                if keep is None:
                    continue
                before = self._clock.now() - keep
                look = partial(inbox_delivery.old, source=name, state=state, before=before, limit=PRUNED)
                while found := await self._store.read(look):
                    await self._store.write(partial(inbox_delivery.drop, events=found))
