"""The desk: the only place where an incident changes.

Each change writes the incident, its timeline, the messages that it owes and what playbooks make of it, all in the
transaction of the caller: together or not at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mainstay.core import crash
from mainstay.core.errors import MainstayError
from mainstay.core.ids import new_id
from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.core.notifier import Message
from mainstay.incidents import machine
from mainstay.incidents.hush import BECAUSE, SILENCED, Needs, cause_of, hushed
from mainstay.incidents.routing import NOT_TO, Routing
from mainstay.incidents.wording import message_of
from mainstay.ports.clock import Clock
from mainstay.store import audit, incidents, outbox
from mainstay.store.base import Tx

Reaction = Callable[[Tx, Incident, Event], None]
"""Called for each event in the transaction that writes it; it may enqueue runs."""

NEWS = frozenset({EventKind.OPENED, EventKind.ESCALATED})


class Desk:
    """Changes incidents inside units. `routing` may be replaced when the configuration is read anew."""

    def __init__(
        self,
        clock: Clock,
        routing: Routing,
        reactions: Sequence[Reaction] = (),
        needs: Needs = lambda service: (),
    ) -> None:
        self.clock = clock
        self.routing = routing
        self.reactions = tuple(reactions)
        self.needs = needs

    def apply(self, tx: Tx, incident: Incident, events: Sequence[Event]) -> Incident:
        """Write an incident as it is now, with what happened to it; give it back as written."""
        kinds = {event.kind for event in events}
        if EventKind.OPENED in kinds:
            incident, events = self._explained(tx, incident, events)
        if kinds & NEWS and hushed(tx, incident, self.clock.now()):
            incident = replace(incident, facts={**incident.facts, SILENCED: True})
        incidents.put(tx, incident)
        for event in events:
            incidents.add_event(tx, event)
            self._owe(tx, incident, event)
            for react in self.reactions:
                react(tx, incident, event)
        tx.signal("incidents")
        crash.point("incident.before_commit")
        return incident

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
        facts: dict[str, Any] | None = None,
    ) -> Incident:
        """Say that something is wrong: open the incident with this key, or bring it up to date.

        It goes on until `clear_condition`; to say it again changes nothing but what is new. It gets louder when
        `severity` does.
        """
        now = self.clock.now()
        incident = incidents.live_of(tx, key)
        if incident is None:
            return self._raise_new(tx, key, service, severity, title, detail, hint, facts or {}, now)
        if machine.LOUDNESS[severity] > machine.LOUDNESS[incident.severity]:
            changed = replace(incident, title=title, detail=detail)
            return self.apply(tx, *machine.escalate(changed, severity, detail, now))
        if detail == incident.detail and title == incident.title:
            return incident
        changed = replace(incident, title=title, detail=detail)
        return self.apply(tx, changed, [Event(new_id(now), incident.id, now, EventKind.CHANGED, detail)])

    def clear_condition(self, tx: Tx, key: str, detail: str = "") -> Incident | None:
        """Say that it is fine again; give the incident that this resolved, if there was one."""
        incident = incidents.live_of(tx, key)
        if incident is None:
            return None
        return self.apply(tx, *machine.resolve(incident, self.clock.now(), detail))

    def add(self, tx: Tx, incident_id: str, kind: EventKind, detail: str, **facts: Any) -> None:
        """Add a line (NOTE, ACTION) to an incident's timeline."""
        incident = self._get(tx, incident_id)
        now = self.clock.now()
        self.apply(tx, incident, [Event(new_id(now), incident.id, now, kind, detail, facts)])

    def escalate(self, tx: Tx, incident_id: str, detail: str) -> Incident | None:
        """Call for people: the incident becomes critical and every channel is told. None when it is resolved."""
        incident = self._get(tx, incident_id)
        if incident.state is IncidentState.RESOLVED:
            return None
        return self.apply(tx, *machine.escalate(incident, Severity.CRITICAL, detail, self.clock.now()))

    def acknowledge(self, tx: Tx, incident_id: str, who: str) -> Incident:
        """Somebody takes care of it. Those who were told are told so; it changes nothing when done before."""
        incident = self._get(tx, incident_id)
        if incident.state is not IncidentState.OPEN:
            return incident
        now = self.clock.now()
        taken = replace(incident, state=IncidentState.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=who)
        audit.note(tx, who, "incident.acknowledge", incident.id, now, key=incident.key)
        event = Event(
            new_id(now), incident.id, now, EventKind.ACKNOWLEDGED, f"{who} takes care of it", {"who": who}
        )
        return self.apply(tx, taken, [event])

    def note(self, tx: Tx, incident_id: str, who: str, text: str) -> None:
        """Somebody writes something into the timeline."""
        audit.note(tx, who, "incident.note", incident_id, self.clock.now())
        self.add(tx, incident_id, EventKind.NOTE, text, who=who)

    def resolve_manually(self, tx: Tx, incident_id: str, who: str, why: str = "") -> Incident:
        """Somebody ends it. When the fault is still there, the next confirmed fail opens a new incident."""
        incident = self._get(tx, incident_id)
        if incident.state is IncidentState.RESOLVED:
            return incident
        now = self.clock.now()
        audit.note(tx, who, "incident.resolve", incident.id, now, key=incident.key, why=why)
        words = f"{who} resolved it" + (f": {why}" if why else "")
        return self.apply(tx, *machine.resolve(incident, now, words))

    def tell_late(self, tx: Tx, live: Sequence[Incident]) -> None:
        """Owe the news of open incidents that was held back and is not any more."""
        for incident in live:
            if SILENCED not in incident.facts or hushed(tx, incident, self.clock.now()):
                continue
            told = replace(incident, facts={k: v for k, v in incident.facts.items() if k != SILENCED})
            incidents.put(tx, told)
            news = [event for event in incidents.events(tx, told.id) if event.kind in NEWS]
            for event in news[-1:]:
                self._owe(tx, told, event)

    def owe_again(self, tx: Tx, channel: str, message: Message) -> None:
        """Owe a message to a channel instead of one that is no more."""
        now = self.clock.now()
        outbox.owe(tx, channel, replace(message, key=new_id(now)), now)

    def _raise_new(
        self,
        tx: Tx,
        key: str,
        service: str,
        severity: Severity,
        title: str,
        detail: str,
        hint: str | None,
        facts: dict[str, Any],
        now: float,
    ) -> Incident:
        incident = Incident(
            id=new_id(now),
            key=key,
            service=service,
            severity=severity,
            title=title,
            detail=detail,
            state=IncidentState.OPEN,
            opened_at=now,
            failed_at=now,
            facts={**facts, **({"hint": hint} if hint else {})},
        )
        return self.apply(tx, incident, [Event(new_id(now), incident.id, now, EventKind.OPENED, detail)])

    def _owe(self, tx: Tx, incident: Incident, event: Event) -> None:
        if event.kind is not EventKind.RESOLVED and hushed(tx, incident, self.clock.now()):
            return
        told = outbox.told(tx, incident.id)
        now = self.clock.now()
        for channel in self.routing.channels_for(event.kind, incident, told):
            message = message_of(new_id(now), incident, event, self.routing.link(incident))
            outbox.owe(tx, channel, message, now)

    def _explained(
        self, tx: Tx, incident: Incident, events: Sequence[Event]
    ) -> tuple[Incident, Sequence[Event]]:
        """Note the incident of a needed service that explains this one."""
        cause = cause_of(tx, incident, self.needs)
        if cause is None:
            return incident, events
        now = self.clock.now()
        words = f"Nobody is told for now: {cause.service}, which it needs, fails too"
        note = Event(new_id(now), incident.id, now, EventKind.NOTE, words, {BECAUSE: cause.id})
        return replace(incident, facts={**incident.facts, BECAUSE: cause.id}), [*events, note]

    def _get(self, tx: Tx, incident_id: str) -> Incident:
        incident = incidents.get(tx, incident_id)
        if incident is None:
            raise MainstayError(f"there is no incident {incident_id}", hint="mainstay incidents lists them")
        return incident


__all__ = ["NOT_TO", "Desk", "Reaction"]
