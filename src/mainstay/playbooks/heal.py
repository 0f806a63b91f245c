"""Healing: decide, act, look whether it helped, and call people when it did not."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainstay.core import crash
from mainstay.core.check import Result, Verdict
from mainstay.core.errors import MainstayError
from mainstay.core.incident import EventKind, IncidentState
from mainstay.core.job import Job, Outcome, RunContext
from mainstay.core.units import Duration, format_duration
from mainstay.engine.queue import enqueue
from mainstay.incidents.desk import Desk
from mainstay.playbooks import switch
from mainstay.playbooks.guard import HOUR, Decision, Go, Situation, decide
from mainstay.playbooks.reaction import job_of, key_of
from mainstay.playbooks.settings import HealSettings
from mainstay.ports.clock import Clock
from mainstay.ports.services import ServiceControl, ServiceError, ServiceState, Standing
from mainstay.store import audit, incidents, silences
from mainstay.store.base import Store, Tx

LOOK_EVERY = 0.5
"""Seconds between two looks whether a restart helped."""
FRESH = 30.0
"""Seconds for which a decision holds. A run that was interrupted for longer asks the guards again before it acts."""
WHO = "mainstay"

Probe = Callable[[str], Awaitable[Sequence[Result]]]
"""Asks all checks of a service now."""


@dataclass(frozen=True, slots=True)
class HealTarget:
    """A service that may be healed: what runs it, how, and the services that it needs."""

    control: ServiceControl
    settings: HealSettings
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HealPorts:
    """What healing needs of the world."""

    services: Mapping[str, HealTarget]
    probe: Probe
    store: Store
    clock: Clock
    desk: Desk

    def target(self, service: str) -> HealTarget:
        """Give a service's target. Raises `MainstayError` when it is not to be healed."""
        try:
            return self.services[service]
        except KeyError:
            known = ", ".join(sorted(self.services)) or "none"
            raise MainstayError(
                f"nothing is configured to heal {service}",
                hint=f"give it `heal: restart`; services with it: {known}",
            ) from None


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is for. Without an incident a person asked for it (`by`), and only the switches and holds count."""

    service: str
    incident: str | None = None
    attempt: int = 1
    waits: int = 0
    by: str | None = None

    @classmethod
    def of(cls, run: RunContext) -> "Task":
        """Read a run's arguments; without a service the job's name says it (`heal:SERVICE`)."""
        known = {name: run.args[name] for name in ("incident", "attempt", "waits", "by") if name in run.args}
        return cls(str(run.args.get("service") or run.job.partition(":")[2]), **known)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done now, for `--dry-run`."""

    service: str
    state: ServiceState
    decision: Decision
    action: str = field(default="restart")


class Heal(Job, type="heal"):
    """Restarts a service that fails and looks whether it answers again.

    Queued when a confirmed failure opens an incident of a service with `heal: restart`. Guards come first: nothing is
    done while the service is silenced, stopped by somebody, or needs another one that fails too; nor more often than
    the attempts allow. Then people are called.
    """

    urgent = True
    steps = ("decide", "act", "confirm", "conclude")

    timeout: Duration = 900.0
    """A run that takes longer is stopped and counts as failed."""
    retries: int = 1
    """How often a failed run is tried again, with growing pauses."""

    async def run(self, run: RunContext) -> Outcome:
        """Make one attempt."""
        ports = run.get(HealPorts)
        task = Task.of(run)
        target = ports.target(task.service)
        decided = await run.step("decide", lambda: _decide(ports, target, task, run))
        if decided["go"] != Go.ACT:
            return Outcome(decided["reason"], {"acted": False})
        acted = await run.step("act", lambda: _act(ports, target, task, decided, run))
        if acted.get("not_done"):
            return Outcome(acted["not_done"], {"acted": False})
        confirmed = await run.step("confirm", lambda: _confirm(ports, target, task, acted, run))
        words = await run.step("conclude", lambda: _conclude(ports, target, task, acted, confirmed))
        return Outcome(words, {"acted": True, "confirmed": confirmed["ok"], "seconds": confirmed["seconds"]})


async def plan(ports: HealPorts, service: str) -> Plan:
    """Say what would be done for a service now, as if its check had just failed; nothing is changed."""
    target = ports.target(service)
    situation = await _situation(ports, target, Task(service, by="nobody"), look=True)
    return Plan(service, await target.control.state(), decide(situation))


async def _decide(
    ports: HealPorts, target: HealTarget, task: Task, run: RunContext, *, again: bool = False
) -> dict[str, Any]:
    look = again or task.attempt > 1 or task.waits > 0
    if again and task.by is not None:
        decision = Decision(Go.REFUSE, f"{task.by} asked for it a while ago; ask again if it is still wanted")
    else:
        decision = decide(await _situation(ports, target, task, look=look and task.by is None))
    run.log(f"{decision.go}: {decision.reason}")
    await ports.store.write(lambda tx: _note_decision(tx, ports, task, decision))
    return {"go": decision.go.value, "reason": decision.reason, "at": ports.clock.now()}


async def _situation(ports: HealPorts, target: HealTarget, task: Task, *, look: bool) -> Situation:
    now = ports.clock.now()
    state = await target.control.state()
    failing = (
        [name for name in target.depends_on if await _fails(ports, name)] if task.by is None or look else []
    )
    asked = await ports.probe(task.service) if look else ()
    by_person = task.by is not None and not look

    def read(tx: Tx) -> Situation:
        actions = incidents.actions_since(tx, now - max(HOUR, target.settings.restart.window))
        incident = None if task.incident is None else incidents.get(tx, task.incident)
        covering = [silence for silence in silences.active(tx, now) if silence.covers(task.service)]
        return Situation(
            now=now,
            service=task.service,
            settings=target.settings.restart,
            switched_off=switch.off_since(tx),
            open=incident is None or incident.state is not IncidentState.RESOLVED,
            answers=_answers(asked),
            unsure=_unsure(asked),
            held=state.detail if state.held and not by_person else None,
            missing=state.detail if state.state is Standing.MISSING else None,
            silenced_until=max((silence.until_at for silence in covering), default=None),
            failing=failing,
            actions=[at for service, at, _ in actions if service == task.service],
            all_actions=[at for _, at, _ in actions],
            waits=task.waits,
        )

    situation = await ports.store.read(read)
    return _asked_by_person(situation) if by_person else situation


def _asked_by_person(situation: Situation) -> Situation:
    """A person may do at once what a playbook may not: budgets, pauses and silences are for playbooks."""
    return Situation(
        now=situation.now,
        service=situation.service,
        settings=situation.settings.model_copy(update={"enabled": True}),
        missing=situation.missing,
    )


async def _fails(ports: HealPorts, service: str) -> bool:
    return any(result.verdict is Verdict.FAIL for result in await ports.probe(service))


def _answers(asked: Sequence[Result]) -> bool:
    """Whether it was seen to work: a warning is an answer, a check that could not find out is none."""
    return bool(asked) and all(result.verdict in (Verdict.OK, Verdict.WARN) for result in asked)


def _unsure(asked: Sequence[Result]) -> str | None:
    """Why nobody can say whether it works; None when it fails or answers."""
    if any(result.verdict is Verdict.FAIL for result in asked):
        return None
    return next((result.detail for result in asked if result.verdict is Verdict.UNKNOWN), None)


def _note_decision(tx: Tx, ports: HealPorts, task: Task, decision: Decision) -> None:
    if decision.go is Go.ACT or task.incident is None:
        return
    if decision.go is Go.CALL:
        ports.desk.escalate(tx, task.incident, f"{decision.reason}. Somebody has to look at it.")
    elif decision.go is Go.WAIT:
        if task.waits == 0:
            ports.desk.add(tx, task.incident, EventKind.NOTE, f"Not restarted yet: {decision.reason}")
        _queue(tx, ports, task, task.attempt, task.waits + 1, decision.again_at or ports.clock.now() + 60.0)
    elif decision.reason != "the incident is over":
        ports.desk.add(tx, task.incident, EventKind.NOTE, f"Not restarted: {decision.reason}")


async def _act(
    ports: HealPorts, target: HealTarget, task: Task, decided: Mapping[str, Any], run: RunContext
) -> dict[str, Any]:
    if not 0 <= ports.clock.now() - decided.get("at", 0.0) <= FRESH:
        decided = await _decide(ports, target, task, run, again=True)
        if decided["go"] != Go.ACT:
            return {"not_done": decided["reason"]}
    # Written before it is done: an attempt that dies half way has to count.
    await ports.store.write(lambda tx: _note_action(tx, ports, task, decided["reason"]))
    crash.point("heal.announced")
    began = ports.clock.monotonic()
    run.log(f"restarting {task.service}")
    error = None
    try:
        await target.control.restart()
    except ServiceError as fault:
        error = str(fault)
        run.log(error)
    crash.point("heal.acted")
    return {"seconds": round(ports.clock.monotonic() - began, 3), "error": error}


def _note_action(tx: Tx, ports: HealPorts, task: Task, reason: str) -> None:
    now = ports.clock.now()
    who = task.by or WHO
    audit.note(tx, who, "heal.restart", task.service, now, incident=task.incident, attempt=task.attempt)
    words = f"Restarting {task.service}: {reason}"
    for incident in _about(tx, task):
        ports.desk.add(tx, incident, EventKind.ACTION, words, action="restart", attempt=task.attempt, who=who)


def _about(tx: Tx, task: Task) -> list[str]:
    """Give the incidents in whose timelines a task belongs: its own, or all that are open when a person asked."""
    if task.incident is not None:
        return [task.incident]
    return [incident.id for incident in incidents.live_of_service(tx, task.service)]


async def _confirm(
    ports: HealPorts, target: HealTarget, task: Task, acted: Mapping[str, Any], run: RunContext
) -> dict[str, Any]:
    """Ask the service's checks until so many rounds in a row are good, or the time is over."""
    began = ports.clock.monotonic()
    wanted, within = target.settings.restart.confirm, target.settings.restart.within
    good, last = 0, "no check was asked"
    while acted["error"] is None and ports.clock.monotonic() - began < within:
        results = await ports.probe(task.service)
        bad = [result for result in results if result.verdict not in (Verdict.OK, Verdict.WARN)]
        good = good + 1 if _answers(results) else 0
        last = f"{bad[0].check}: {bad[0].detail}" if bad else "no check fails"
        run.progress("confirming", good, wanted, "good answers")
        if good >= wanted:
            break
        await ports.clock.sleep(LOOK_EVERY)
    seconds = round(ports.clock.monotonic() - began, 3)
    run.log(f"{last} after {format_duration(seconds)}")
    return {"ok": good >= wanted, "seconds": seconds, "last": last}


async def _conclude(
    ports: HealPorts, target: HealTarget, task: Task, acted: Mapping[str, Any], confirmed: Mapping[str, Any]
) -> str:
    took = format_duration(acted["seconds"])
    if confirmed["ok"]:
        words = (
            f"Restarted {task.service} in {took}; confirmed by {target.settings.restart.confirm} good answers in a row "
            f"after another {format_duration(confirmed['seconds'])}"
        )
    elif acted["error"]:
        words = f"Could not restart {task.service}: {acted['error']}"
    else:
        words = f"Restarted {task.service} in {took}, but it did not help: {confirmed['last']}"
    await ports.store.write(lambda tx: _note_end(tx, ports, target, task, words, ok=bool(confirmed["ok"])))
    crash.point("heal.concluded")
    return words


def _note_end(tx: Tx, ports: HealPorts, target: HealTarget, task: Task, words: str, *, ok: bool) -> None:
    for incident in _about(tx, task):
        ports.desk.add(tx, incident, EventKind.NOTE, words)
    if ok or task.incident is None:
        return
    settings = target.settings.restart
    if task.attempt >= settings.attempts:
        ports.desk.escalate(tx, task.incident, f"{words}. That was the last of {settings.attempts} attempts.")
        return
    rest = min(settings.cooldown * 2.0 ** (task.attempt - 1), settings.window)
    _queue(tx, ports, task, task.attempt + 1, 0, ports.clock.now() + rest)


def _queue(tx: Tx, ports: HealPorts, task: Task, attempt: int, waits: int, at: float) -> None:
    args = {"service": task.service, "incident": task.incident, "attempt": attempt, "waits": waits}
    key = key_of(str(task.incident), attempt, waits)
    enqueue(tx, job_of(task.service), key=key, due_at=at, now=ports.clock.now(), args=args, why="incident")
