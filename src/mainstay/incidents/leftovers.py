"""What the configuration no longer knows: its incidents end, its messages go to those who are there."""

from collections.abc import Collection
from dataclasses import dataclass

from mainstay.backup.physical.alarms import KINDS
from mainstay.core.incident import EventKind, Incident
from mainstay.core.run import RunState
from mainstay.incidents import machine
from mainstay.incidents.desk import Desk
from mainstay.store import incidents, outbox, results, runs
from mainstay.store.base import Tx
from mainstay.store.outbox import Owed

GONE = "is not in the configuration any more"
FOLLOWS_INCIDENTS = "heal:"
"""Jobs that are queued because of an incident; without their service there is nothing to decide about them."""
NOUNS = dict.fromkeys(KINDS, "log of") | {
    "holes": "job",
    "target": "source",
    "dead_letters": "source",
    "repair": "source",
}
A_YEAR = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Known:
    """What the configuration in force knows: check identifiers, and names of jobs, channels and sources of webhooks."""

    checks: Collection[str]
    jobs: Collection[str]
    channels: Collection[str]
    sources: Collection[str] = ()
    """Names of sources of webhooks."""
    logs: Collection[str] = ()
    """Names of databases whose log is kept."""
    gateway: bool = True
    """Whether there is one; what is wrong with it is judged where it is looked at."""


def tidy(tx: Tx, desk: Desk, known: Known) -> None:
    """Bring the journal's open ends in line with the configuration, once it is in force on the node that asks.

    Nobody asks a check that was removed or renamed, so its incident would stay open for ever, and so would that of a
    removed job or channel. A message owed to a removed channel goes to the channels that were not told otherwise.
    """
    subjects = {"check": known.checks, "job": known.jobs, "holes": known.jobs, "channel": known.channels}
    subjects |= {"target": known.sources, "dead_letters": known.sources, "repair": known.sources}
    subjects |= dict.fromkeys(KINDS, known.logs)
    for incident in incidents.live(tx):
        kind, _, name = incident.key.partition(":")
        if kind == "gateway" and not known.gateway:
            _end(tx, desk, incident, f"the gateway {GONE}")
        elif name and name not in subjects.get(kind, (name,)):
            _end(tx, desk, incident, f"the {NOUNS.get(kind, kind)} {name} {GONE}")
    results.forget(tx, [row["check_id"] for row in results.states(tx) if row["check_id"] not in known.checks])
    for check in incidents.suspicions(tx):
        if check not in known.checks:
            incidents.put_suspicion(tx, check, machine.NOTHING)
    _redirect(tx, desk, known.channels)
    _cancel(tx, desk, known.jobs)


def _end(tx: Tx, desk: Desk, incident: Incident, why: str) -> None:
    desk.apply(tx, *machine.resolve(incident, desk.clock.now(), why))


def _redirect(tx: Tx, desk: Desk, channels: Collection[str]) -> None:
    strays = [owed for owed in outbox.all_owed(tx) if owed.channel not in channels]
    told = {owed.message.thread: outbox.told(tx, owed.message.thread) for owed in strays}
    for owed in strays:
        for channel in _instead(tx, desk, owed, told[owed.message.thread]):
            desk.owe_again(tx, channel, owed.message)
        outbox.refused(tx, owed.id, f"the channel {owed.channel} {GONE}", desk.clock.now())


def _instead(tx: Tx, desk: Desk, owed: Owed, told: Collection[str]) -> list[str]:
    incident = incidents.get(tx, owed.message.thread)
    if incident is None:
        return []
    wanted = desk.routing.channels_for(EventKind.OPENED, incident, ())
    return [channel for channel in wanted if channel not in told]


def _cancel(tx: Tx, desk: Desk, jobs: Collection[str]) -> None:
    now = desk.clock.now()
    for run in runs.strangers(tx, jobs, now + A_YEAR):
        if run.job.startswith(FOLLOWS_INCIDENTS):
            runs.close(tx, run.id, RunState.CANCELLED, now, summary=f"its job {GONE}")
            tx.signal("runs")
