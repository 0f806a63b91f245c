"""The recorder: takes batches of results from the watch and turns them into journal, incidents and messages owed."""

from collections.abc import Callable, Mapping, Sequence

from mainstay.core import crash
from mainstay.core.check import Result, Verdict
from mainstay.core.incident import EventKind, Incident, IncidentState
from mainstay.incidents.desk import Desk, Reaction
from mainstay.incidents.machine import NOTHING, Rules, advance, key_of
from mainstay.incidents.routing import Routing
from mainstay.ports.clock import Clock
from mainstay.store import incidents, results
from mainstay.store.base import Store, Tx, Unit

RulesOf = Callable[[str], Rules]
"""Gives a service's rules by its name."""


class Recorder:
    """Records results; what they change is written in one unit. `desk` does the same inside other rooms' units."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        routing: Routing,
        reactions: Sequence[Reaction] = (),
        rules: RulesOf | Mapping[str, Rules] | None = None,
    ) -> None:
        self.store = store
        self.desk = Desk(clock, routing, reactions, lambda service: self._rules(service).needs)
        self.rules = rules
        self._clock = clock

    async def record(self, batch: Sequence[Result]) -> None:
        """Keep results and all that follows from them; on disk when this returns. May be repeated with the same."""
        await self.write(lambda tx: self.record_in(tx, batch))

    async def write(self, unit: Unit[bool]) -> None:
        """Write a unit that records; it gives whether an incident changed."""
        if await self.store.write(unit):
            crash.point("incident.committed")

    def record_in(self, tx: Tx, batch: Sequence[Result]) -> bool:
        """Do the same inside a unit; true when an incident changed."""
        live = {incident.key: incident for incident in incidents.live(tx)}
        suspicions = incidents.suspicions(tx)
        self.desk.tell_late(tx, list(live.values()))
        changed = False
        for result in batch:
            changed |= self._take(tx, result, live, suspicions)
        results.record(tx, batch)
        return changed

    async def acknowledge(self, incident_id: str, who: str) -> Incident:
        """Somebody takes care of an incident; see `Desk.acknowledge`."""
        return await self.store.write(lambda tx: self.desk.acknowledge(tx, incident_id, who))

    async def note(self, incident_id: str, who: str, text: str) -> None:
        """Somebody writes into the timeline."""
        await self.store.write(lambda tx: self.desk.note(tx, incident_id, who, text))

    async def resolve_manually(self, incident_id: str, who: str, why: str = "") -> Incident:
        """Somebody ends an incident; see `Desk.resolve_manually`."""
        return await self.store.write(lambda tx: self.desk.resolve_manually(tx, incident_id, who, why))

    def _take(
        self,
        tx: Tx,
        result: Result,
        live: dict[str, Incident],
        suspicions: dict[str, incidents.Suspicion],
    ) -> bool:
        key = key_of(result.check)
        incident = live.get(key)
        suspicion = suspicions.get(result.check, NOTHING)
        if incident is None and suspicion == NOTHING and result.verdict in (Verdict.OK, Verdict.UNKNOWN):
            return False
        if results.kept(tx, result):
            return False  # it comes again because nobody knew whether it was kept: one good answer is not two
        step = advance(
            incident or incidents.latest(tx, key),
            result,
            self._rules(result.service),
            self._clock.now(),
            suspicion,
        )
        if step.suspicion != suspicion:
            incidents.put_suspicion(tx, result.check, step.suspicion)
            suspicions[result.check] = step.suspicion
        if step.incident is None or (step.incident is incident and not step.events):
            return False
        if step.incident.state is IncidentState.RESOLVED and not step.events:
            return False
        written = self.desk.apply(tx, step.incident, step.events)
        live.pop(key, None)
        if written.state is not IncidentState.RESOLVED:
            live[key] = written
        return any(event.kind is not EventKind.CHANGED for event in step.events)

    def _rules(self, service: str) -> Rules:
        if self.rules is None:
            return Rules()
        if callable(self.rules):
            return self.rules(service)
        return self.rules.get(service, Rules())
