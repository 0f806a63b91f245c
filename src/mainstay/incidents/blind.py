"""Checks that cannot be judged: nobody's fault but ours, and still somebody has to know that nobody is looking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import Severity
from mainstay.incidents.recorder import Recorder
from mainstay.store.base import Tx

KEY = "blind"
BLIND_AFTER = 300.0
"""Seconds for which a check has to be without a verdict."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Since when (seconds since 1970) a check has no verdict, and why."""

    since: float
    service: str
    detail: str


class Sight:
    """Records what the watch saw, as the recorder does, and minds which checks have no verdict.

    Only the watch sees every check, so only its batches belong here. What is in doubt is remembered in memory: after a
    restart it takes `BLIND_AFTER` seconds to know again, and nothing is said to be over before.
    """

    def __init__(self, recorder: Recorder, critical: Callable[[str], bool]) -> None:
        self._recorder = recorder
        self._critical = critical
        self._doubts: dict[str, Doubt] = {}
        self._raised: frozenset[str] | None = None
        self._began = recorder.desk.clock.now()

    async def record(self, batch: Sequence[Result]) -> None:
        """Keep results and all that follows from them; see `Recorder.record`."""
        self._take(batch)
        raised = self._raised

        def unit(tx: Tx) -> bool:
            nonlocal raised  # it counts once it is on disk: the database may ask for the unit again
            changed = self._recorder.record_in(tx, batch)
            raised = self._judge(tx)
            return changed

        await self._recorder.write(unit)
        self._raised = raised

    def _take(self, batch: Sequence[Result]) -> None:
        for result in batch:
            if result.verdict is Verdict.UNKNOWN:
                before = self._doubts.get(result.check)
                since = before.since if before else result.at
                self._doubts[result.check] = Doubt(since, result.service, result.detail)
            elif result.verdict is not Verdict.FAIL or result.confirmed:
                self._doubts.pop(result.check, None)

    def _judge(self, tx: Tx) -> frozenset[str] | None:
        desk = self._recorder.desk
        now = desk.clock.now()
        long = {check: doubt for check, doubt in self._doubts.items() if now - doubt.since >= BLIND_AFTER}
        if long and long.keys() != self._raised:
            self._raise(tx, long)
            return frozenset(long)
        if not long and (self._raised or (self._raised is None and now - self._began > 2 * BLIND_AFTER)):
            desk.clear_condition(tx, KEY, "Every check is judged again")
            return frozenset()
        return self._raised

    def _raise(self, tx: Tx, long: dict[str, Doubt]) -> None:
        check, doubt = min(
            long.items(), key=lambda item: (not self._critical(item[1].service), item[1].since)
        )
        others = f" (and {len(long) - 1} more)" if len(long) > 1 else ""
        loud = any(self._critical(each.service) for each in long.values())
        self._recorder.desk.raise_condition(
            tx,
            KEY,
            service="mainstay",
            severity=Severity.CRITICAL if loud else Severity.WARNING,
            title="Checks cannot be judged, so nobody is looking",
            detail=f"{check} is without a verdict: {doubt.detail}{others}",
            hint="look at the network, the name servers and the limits of mainstay's own machine",
        )
