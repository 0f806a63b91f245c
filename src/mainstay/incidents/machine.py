"""From one result to the next state of an incident: pure, so that every sequence can be tried.

All memory lives in what goes in and comes out (the incident with its facts, and the suspicion before there is one), and
both are kept in the journal: a restart forgets nothing. New identifiers are all that differs between two equal calls.
"""

import re
from dataclasses import dataclass, replace

from mainstay.core.check import Result, Verdict
from mainstay.core.ids import new_id
from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.core.units import format_duration
from mainstay.store.incidents import Suspicion

NOTHING = Suspicion()

LOUDNESS = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
CHANGE_PAUSE = 60.0
"""At most one CHANGED event in so many seconds: a measured value in the detail may change with every answer."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a service's results become incidents. Times are in seconds.

    A warning that lasts `warn_after` opens a warning incident; None means that warnings never do. `oks` good answers
    in a row end an incident. Each time it comes back within `flap_window` three times as many are asked for, `most_oks`
    at most; a quiet of `calm` seconds is enough in any case, so that a check which asks seldom is not kept waiting.
    `needs` are the services without which this one fails.
    """

    critical: bool = False
    title: str | None = None
    warn_after: float | None = 300.0
    oks: int = 2
    flap_window: float = 3600.0
    most_oks: int = 18
    calm: float = 900.0
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What a result led to: the incident afterwards (the very same object when nothing changed) and what happened."""

    incident: Incident | None
    events: tuple[Event, ...] = ()
    suspicion: Suspicion = NOTHING


def key_of(check: str) -> str:
    """Give the key of incidents about a check."""
    return f"check:{check}"


def advance(
    incident: Incident | None, result: Result, rules: Rules, now: float, suspicion: Suspicion = NOTHING
) -> Step:
    """Judge one result of a check whose latest incident, open or long resolved, is `incident`."""
    if result.verdict is Verdict.UNKNOWN:
        return Step(incident, (), suspicion)
    if incident is None or incident.state is IncidentState.RESOLVED:
        suspicion = _suspect(result, suspicion)
        severity = _opens(result, rules, suspicion)
        if severity is None:
            return Step(incident, (), suspicion)
        return _open(incident, result, rules, severity, now, suspicion)
    if result.verdict is Verdict.OK or (result.verdict is Verdict.WARN and rules.warn_after is None):
        return _calmer(incident, result, rules, now)
    return _not_calm(incident, result, rules, now)


def _suspect(result: Result, before: Suspicion) -> Suspicion:
    if result.verdict is Verdict.FAIL:
        return replace(before, failed_at=result.at if before.failed_at is None else before.failed_at)
    if result.verdict is Verdict.WARN:
        return Suspicion(None, result.at if before.warned_at is None else before.warned_at)
    return NOTHING


def _opens(result: Result, rules: Rules, suspicion: Suspicion) -> Severity | None:
    if result.verdict is Verdict.FAIL and result.confirmed:
        return Severity.CRITICAL if rules.critical else Severity.WARNING
    if result.verdict is Verdict.WARN and rules.warn_after is not None and suspicion.warned_at is not None:
        return Severity.WARNING if result.at - suspicion.warned_at >= rules.warn_after else None
    return None


def _open(
    before: Incident | None,
    result: Result,
    rules: Rules,
    severity: Severity,
    now: float,
    suspicion: Suspicion,
) -> Step:
    flaps = _flaps(before, rules, now)
    began = suspicion.failed_at if result.verdict is Verdict.FAIL else suspicion.warned_at
    incident = Incident(
        id=new_id(now),
        key=key_of(result.check),
        service=result.service,
        severity=severity,
        title=_title(result, rules),
        detail=result.detail,
        state=IncidentState.OPEN,
        opened_at=now,
        failed_at=min(result.at if began is None else began, now),
        facts={
            "check": result.check,
            "verdict": result.verdict.value,
            "flaps": flaps,
            "oks_needed": _oks_needed(rules, flaps),
        },
    )
    told = result.detail if not flaps else f"{result.detail} (it came back, {flaps + 1} times so far)"
    first = Event(new_id(now), incident.id, incident.failed_at, EventKind.FAILED, result.detail)
    opened = Event(new_id(now), incident.id, now, EventKind.OPENED, told)
    return Step(incident, (first, opened))


def _title(result: Result, rules: Rules) -> str:
    verb = "fails" if result.verdict is Verdict.FAIL else "warns in"
    return (
        f"{rules.title or result.service} {verb} its {result.check.removeprefix(f'{result.service}/')} check"
    )


def _flaps(before: Incident | None, rules: Rules, now: float) -> int:
    if before is None or before.resolved_at is None or now - before.resolved_at > rules.flap_window:
        return 0
    return int(before.facts.get("flaps", 0)) + 1


def _oks_needed(rules: Rules, flaps: int) -> int:
    return max(rules.oks, min(rules.oks * int(3 ** min(flaps, 8)), rules.most_oks))


def _calmer(incident: Incident, result: Result, rules: Rules, now: float) -> Step:
    oks = int(incident.facts.get("oks", 0)) + 1
    since = float(incident.facts.get("ok_since", result.at))
    quiet = oks >= rules.oks and result.at - since >= rules.calm
    if oks < int(incident.facts.get("oks_needed", rules.oks)) and not quiet:
        return Step(replace(incident, facts={**incident.facts, "oks": oks, "ok_since": since}))
    return Step(*resolve(incident, now, result.detail))


def resolve(incident: Incident, now: float, detail: str) -> tuple[Incident, tuple[Event, ...]]:
    """End an incident; the RESOLVED event says how long it lasted, from the first failed probe."""
    lasted = max(0.0, now - incident.failed_at)
    facts = {name: value for name, value in incident.facts.items() if name not in ("oks", "ok_since")}
    done = replace(incident, state=IncidentState.RESOLVED, resolved_at=now, facts=facts)
    words = (
        f"{detail}; it lasted {format_duration(lasted)}" if detail else f"It lasted {format_duration(lasted)}"
    )
    return done, (Event(new_id(now), incident.id, now, EventKind.RESOLVED, words, {"seconds": lasted}),)


def _not_calm(incident: Incident, result: Result, rules: Rules, now: float) -> Step:
    facts = {name: value for name, value in incident.facts.items() if name not in ("oks", "ok_since")}
    after = incident if facts == incident.facts else replace(incident, facts=facts)
    severity = Severity.CRITICAL if rules.critical else Severity.WARNING
    louder = LOUDNESS[severity] > LOUDNESS[incident.severity] or facts.get("verdict") == Verdict.WARN
    if result.verdict is Verdict.FAIL and result.confirmed and louder:
        facts = {**facts, "verdict": Verdict.FAIL.value}
        after = replace(after, title=_title(result, rules), detail=result.detail, facts=facts)
        return Step(*escalate(after, severity, result.detail, now))
    changed_at = float(facts.get("changed_at", incident.opened_at))
    if _shape(result.detail) == _shape(incident.detail) or now - changed_at < CHANGE_PAUSE:
        return Step(after)
    after = replace(after, detail=result.detail, facts={**facts, "changed_at": now})
    return Step(after, (Event(new_id(now), incident.id, now, EventKind.CHANGED, result.detail),))


def escalate(
    incident: Incident, severity: Severity, detail: str, now: float
) -> tuple[Incident, tuple[Event, ...]]:
    """Make an incident louder, never quieter; everyone who hears of that severity is told."""
    louder = severity if LOUDNESS[severity] > LOUDNESS[incident.severity] else incident.severity
    after = replace(incident, severity=louder)
    return after, (
        Event(new_id(now), incident.id, now, EventKind.ESCALATED, detail, {"severity": louder.value}),
    )


def _shape(detail: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", detail)
