"""The supervisor's vigil: somebody is told when the agent or the edge does not do its work, whatever the reason.

The agent says every few seconds that it works and can write its journal. When it has not for a minute (the disk is
full, the journal's server is gone, it falls again and again, it hangs) nothing is watched, and no outbox can say so.
The edge says that it turns; one that hangs takes nothing, and is ended and started anew as well.
"""

import logging
from collections.abc import Callable
from functools import partial

from mainstay.app.alarm import Alarm
from mainstay.app.compose import App
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import ConfigError, JournalError
from mainstay.core.incident import Severity
from mainstay.engine.pulse import FINE
from mainstay.incidents.desk import Desk
from mainstay.ports.clock import Clock
from mainstay.store.base import Tx

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
PATIENCE = 60.0
"""Seconds without a good word from a process after which people are told."""
HANGS_AFTER = 120.0
"""Seconds without any word after which a process that has spoken before is ended, for the supervisor to start anew."""
HINT = "look at mainstay's log, then: mainstay doctor"
EDGE_HINT = "look at mainstay's log"
RECOVERED = {"agent": "The agent works and writes its journal again"}
REPLACED = "journal"


Say = Callable[[str], None]


class Vigil:
    """Hears the agent, or another child by its name, and tells people directly. `end` is called when it hangs."""

    def __init__(self, clock: Clock, config: Config, end: Callable[[], None], child: str = "agent") -> None:
        self._child = child
        self._clock = clock
        self._config = config
        self._end = end
        self._reason = ""
        self._fine = self._any = self._looked = clock.monotonic()
        self._spoke = False
        place = config.title or config.name
        self._alarm = (
            Alarm(clock, f"mainstay:{config.name}", f"mainstay does not work at {place}", HINT)
            if child == "agent"
            else Alarm(
                clock, f"mainstay:{config.name}:{child}", f"{child} does not work at {place}", EDGE_HINT
            )
        )

    def hear(self, part: str, line: str) -> None:
        """Take in what a child said."""
        if part != self._child:
            return
        self._any = self._clock.monotonic()
        self._spoke = not line.startswith("it ")
        if line == FINE:
            self._fine, self._reason = self._any, ""
        else:
            self._reason = line

    async def serve(self) -> None:
        """Keep the vigil, for ever."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            try:
                await self.look()
            except Exception:
                log.exception("the vigil stumbled")

    async def look(self) -> None:
        """Look once; tell what there is to tell."""
        now = self._clock.monotonic()
        if now - self._looked > 3 * LOOK_EVERY and not self._alarm.rung:
            self._fine = self._any = now  # it was this process that stood still
        self._looked = now
        silent = now - self._fine
        if self._spoke and now - self._any > HANGS_AFTER:
            log.error("%s has said nothing for %.0f s and is ended", self._child, now - self._any)
            self._spoke = False
            self._end()
        if silent > PATIENCE:
            since = self._clock.now() - silent
            self._read_anew()
            await self._alarm.ring(self._config.notify, self._words(), since)
        elif self._alarm.rung:
            self._read_anew()
            await self._alarm.over(
                self._config.notify, RECOVERED.get(self._child, f"{self._child} works again")
            )
        self._looked = self._clock.monotonic()

    def _words(self) -> str:
        reason = self._reason or "it says nothing"
        if self._child == "envoy":
            return f"{self._child} does not work: {reason}. Until it does, the gateway lets nothing through."
        if self._child != "agent":
            return (
                f"{self._child} does not work: {reason}. Until it does, it takes no webhooks and its gateway "
                "lets nothing through."
            )
        return (
            f"The agent does not work: {reason}. Until it does, nothing is checked, healed or backed up, and no "
            "other message is sent."
        )

    def _read_anew(self) -> None:
        """Tell the channels of today; when the file is wrong, those of before, and that it is wrong."""
        try:
            self._config = load(self._config.file)
        except ConfigError as fault:
            self._reason = f"the configuration is wrong: {fault}"


async def report(app: App, say: Say) -> None:
    """In the agent: say again and again whether it can write its journal, and note when somebody replaced that."""
    renewed = app.store.renewed
    while True:
        say(FINE if app.node.fresh else app.node.trouble or "its journal is too slow")
        if app.store.renewed != renewed:
            try:
                await app.store.write(partial(_note_replaced, app.desk))
                renewed = app.store.renewed
            except JournalError as fault:
                log.warning("that the journal was replaced cannot be noted yet: %s", fault)
        await app.clock.sleep(LOOK_EVERY)


def _note_replaced(desk: Desk, tx: Tx) -> None:
    desk.raise_condition(
        tx,
        REPLACED,
        service="mainstay",
        severity=Severity.CRITICAL,
        title="The journal was removed or replaced while mainstay was at work",
        detail="mainstay goes on with the one that is there now and knows nothing of what was only in the other",
        hint="if the other one is lost, restore the newest copy; then end this with: mainstay incidents resolve",
    )
