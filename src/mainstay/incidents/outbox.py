"""Senders: every message owed arrives, in order, however long a provider is away.

One sender per channel, so that a channel which hangs delays nobody else. The oldest message is tried until it is
accepted or refused for good; nothing is dropped. What was accepted just before the process died is sent once more with
the same key: providers take it for the same.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from mainstay.core import crash
from mainstay.core.incident import Severity
from mainstay.core.notifier import Message, Notifier, NotifyError
from mainstay.core.secret import redact
from mainstay.core.units import format_duration
from mainstay.incidents.desk import NOT_TO, Desk
from mainstay.ports.clock import Clock
from mainstay.store import outbox
from mainstay.store.base import Store, Tx
from mainstay.store.outbox import Owed

log = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
LONGEST_WISH = 3600.0
"""A provider's Retry-After is obeyed up to here."""
FAILING_AFTER = 120.0
"""A channel that takes nothing for so long is a condition, told through the other channels."""
GRACE = 2.0
"""Beyond a notifier's own time-out, in seconds."""
BROKEN_AFTER = 10
"""Attempts after which a message that breaks the notifier itself is refused: those behind it must not wait for ever."""
IDLE = 30.0
CLAIM_LOOK = 0.5
"""Seconds between two looks at a message that another node is sending: if that node dies, its claim is gone at once."""


def key_of(channel: str) -> str:
    """Give the key of the condition of a channel that does not deliver."""
    return f"channel:{channel}"


def pause(attempts: int, wish: float | None, draw: random.Random) -> float:
    """Give the seconds until the next attempt: full jitter up to a minute, at least the provider's wish."""
    jitter = draw.uniform(0.0, min(LONGEST_PAUSE, 2.0 ** min(attempts, 10)))
    return max(jitter, min(wish or 0.0, LONGEST_WISH))


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one attempt ended: with a receipt, or with an error."""

    receipt: str | None = None
    error: NotifyError | None = None


class Sender:
    """Delivers one channel's messages. `owner` is this process's node, so that two never send one message at once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        desk: Desk,
        name: str,
        notifier: Notifier,
        owner: str = "local",
        draw: random.Random | None = None,
    ) -> None:
        self.name = name
        self.notifier = notifier
        self._store = store
        self._clock = clock
        self._desk = desk
        self._owner = owner
        self._draw = draw or random.Random()  # noqa: S311 - spreads load, hides nothing

    async def run(self) -> None:
        """Deliver for ever. A journal that cannot be written is waited for."""
        while True:
            try:
                await self._turn()
            except Exception as fault:
                log.warning(
                    "channel %s: %s; trying again", self.name, redact(str(fault) or type(fault).__name__)
                )
                await self._clock.sleep(1.0)

    async def deliver_due(self) -> bool:
        """Make one attempt at the oldest message when it is due; true when there may be more to do at once."""
        owed = await self._store.read(partial(outbox.next_owed, channel=self.name))
        if owed is None or self._wait(owed) > 0:
            return False
        return await self._attempt(owed)

    async def _turn(self) -> None:
        signal = self._store.wait("outbox", IDLE)  # made before the look, so that no signal is missed
        try:
            owed = await self._store.read(partial(outbox.next_owed, channel=self.name))
            wait = IDLE if owed is None else self._wait(owed)
            if owed is not None and wait <= 0:
                await self._attempt(owed)
                return
            if owed is None:
                await signal
                return
        finally:
            signal.close()
        await self._clock.sleep(min(wait, LONGEST_PAUSE if self._mine(owed) else CLAIM_LOOK))

    def _mine(self, owed: Owed) -> bool:
        return owed.claimed_until is None or owed.claimed_by == self._owner

    def _wait(self, owed: Owed) -> float:
        now = self._clock.now()
        moments = [owed.next_at]
        if owed.claimed_until is not None and not self._mine(owed):
            moments.append(owed.claimed_until)
        left = max(moments) - now
        # Further off than any pause: the wall clock was set back meanwhile.
        return 0.0 if left > LONGEST_WISH else left

    async def _attempt(self, owed: Owed) -> bool:
        now = self._clock.now()
        until = now + self.notifier.timeout + 2 * GRACE
        mine = await self._store.write(
            partial(outbox.claim, key=owed.id, owner=self._owner, now=now, until=until)
        )
        if mine is None:
            await self._clock.sleep(CLAIM_LOOK)
            return False
        crash.point("outbox.claimed")
        delivery = await self._deliver(mine.message, mine.attempts)
        if delivery.error is None:
            crash.point("outbox.sent")
        await self._store.write(partial(self._keep, owed=mine, delivery=delivery))
        crash.point("outbox.kept")
        return delivery.error is None or delivery.error.permanent

    async def _deliver(self, message: Message, attempt: int) -> Delivery:
        try:
            with self._clock.busy():
                async with asyncio.timeout(self.notifier.timeout + GRACE):
                    return Delivery(receipt=await self.notifier.send(message, self._clock.now()))
        except NotifyError as error:
            return Delivery(error=error)
        except TimeoutError:
            waited = format_duration(self.notifier.timeout)
            return Delivery(error=NotifyError(f"no answer within {waited}"))
        except Exception as fault:
            log.exception("the notifier %s broke", self.name)
            words = f"the notifier broke: {type(fault).__name__}: {fault}"
            return Delivery(error=NotifyError(words, permanent=attempt >= BROKEN_AFTER))

    def _keep(self, tx: Tx, owed: Owed, delivery: Delivery) -> None:
        now = self._clock.now()
        error = delivery.error
        if error is None:
            outbox.sent(tx, owed.id, redact(delivery.receipt or ""), now)
            self._desk.clear_condition(tx, key_of(self.name), f"{self.name} takes messages again")
            return
        words = redact(str(error))
        if error.permanent:
            outbox.refused(tx, owed.id, words, now)
            self._complain(tx, f"{self.name} refused a message", words, error.hint)
            return
        log.warning("channel %s, attempt %d: %s", self.name, owed.attempts, words)
        outbox.later(
            tx, owed.id, self._owner, words, now + pause(owed.attempts, error.retry_after, self._draw)
        )
        if owed.tried_at is not None and now - owed.tried_at >= FAILING_AFTER:
            self._complain(tx, f"{self.name} does not take messages", words, error.hint)

    def _complain(self, tx: Tx, title: str, detail: str, hint: str | None) -> None:
        self._desk.raise_condition(
            tx,
            key_of(self.name),
            service=self.name,
            severity=Severity.WARNING,
            title=title,
            detail=detail,
            hint=hint,
            facts={NOT_TO: self.name},
        )


class Senders:
    """All channels' senders, each on its own. `run` is for ever."""

    def __init__(
        self, store: Store, clock: Clock, desk: Desk, channels: Mapping[str, Notifier], owner: str = "local"
    ) -> None:
        self.senders = [Sender(store, clock, desk, name, each, owner) for name, each in channels.items()]

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as tasks:
            for sender in self.senders:
                tasks.create_task(sender.run(), name=f"sender {sender.name}")
