"""What a journal bears witness to, on SQLite and PostgreSQL."""

from __future__ import annotations

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.core.notifier import Message
from mainstay.core.run import Run, RunState
from mainstay.ports.clock import FakeClock
from mainstay.readiness.evidence import Done, Evidence, gather
from mainstay.store import accounts, backups, incidents, nodes, outbox, results, runs
from mainstay.store.backups import Backup, BackupState, Proof
from mainstay.store.base import Store, Tx


async def look(store: Store, now: float) -> Evidence:
    return await store.read(lambda tx: gather(tx, now))


def backup(id: str, database: str, storage: str, at: float) -> Backup:
    path = f"{database}/{id}"
    return Backup(id, database, storage, path, BackupState.TAKEN, at, 1.0, 10, 1, 5, "{}")


def proof(id: str, of: str, at: float, verdict: BackupState) -> Proof:
    return Proof(id, of, at, verdict, f"it is {verdict}", 1.0, 1, 5)


def incident(id: str, key: str, now: float, resolved: float | None = None) -> Incident:
    state = IncidentState.RESOLVED if resolved else IncidentState.OPEN
    return Incident(
        id, key, "web", Severity.CRITICAL, f"{id} fails", "x", state, now, now - 3, resolved_at=resolved
    )


def message(key: str, thread: str, now: float) -> Message:
    return Message(key, thread, EventKind.OPENED, Severity.CRITICAL, "web", "t", "d", now)


async def test_an_empty_journal_knows_nothing(store: Store, clock: FakeClock) -> None:
    assert await look(store, clock.now()) == Evidence()


async def test_backups_and_proofs(store: Store, clock: FakeClock) -> None:
    now = clock.now()

    def write(tx: Tx) -> None:
        backups.put(tx, backup("b1", "erp", "far", now - 200))
        backups.put(tx, backup("b2", "erp", "near", now - 100))
        backups.put(tx, backup("b3", "shop", "near", now - 50))
        backups.prove(tx, proof("p1", "b1", now - 150, BackupState.PROVEN))
        backups.prove(tx, proof("p2", "b2", now - 90, BackupState.FAILED))

    await store.write(write)
    found = await look(store, now)
    assert found.proofs == {"erp": now - 150}
    assert (found.verdicts["erp"]["verdict"], found.verdicts["erp"]["summary"]) == ("failed", "it is failed")
    assert found.backups == {
        ("erp", "far"): now - 200,
        ("erp", "near"): now - 100,
        ("shop", "near"): now - 50,
    }
    assert (found.taken("erp"), found.taken("nobody")) == (now - 100, None)


async def test_answers_incidents_and_messages(store: Store, clock: FakeClock) -> None:
    now = clock.now()

    def write(tx: Tx) -> None:
        results.record(tx, [Result("web/http", "web", Verdict.OK, "fine", now - 9)])
        incidents.put(tx, incident("i1", "check:web/http", now - 900, resolved=now - 880))
        incidents.add_event(tx, Event("e1", "i1", now - 890, EventKind.ACTION, "restart"))
        incidents.put(tx, incident("i2", "check:web/http", now - 500))
        incidents.put(tx, incident("i3", "job:backup:erp", now - 100))
        outbox.owe(tx, "pager", message("m1", "i2", now - 499), now - 499)
        outbox.sent(tx, "m1", "accepted", now - 498)
        outbox.owe(tx, "slack", message("m2", "test-without-incident", now - 300), now - 300)
        outbox.sent(tx, "m2", "ok", now - 299)
        outbox.owe(tx, "slack", message("m3", "i2", now - 200), now - 200)

    await store.write(write)
    found = await look(store, now)
    assert found.answers == {"web/http": now - 9}
    assert found.caught is not None
    assert (found.caught["title"], found.caught["failed_at"]) == ("i2 fails", now - 503)
    assert found.healed is not None
    assert found.healed["resolved_at"] == now - 880
    assert found.accepted == {"pager": now - 498, "slack": now - 299}
    assert found.accepted_critical == found.accepted
    assert {channel: row["since"] for channel, row in found.owed.items()} == {"slack": now - 200}


async def test_jobs_nodes_and_people(store: Store, clock: FakeClock) -> None:
    now = clock.now()

    def ended(tx: Tx, id: str, job: str, state: RunState, at: float) -> None:
        runs.insert(tx, Run(id, job, id, RunState.QUEUED, at, created_at=at))
        runs.close(tx, id, state, at)

    def write(tx: Tx) -> None:
        ended(tx, "r1", "journal_backup", RunState.DONE, now - 50)
        ended(tx, "r2", "journal_backup", RunState.FAILED, now - 20)
        ended(tx, "r3", "cleanup", RunState.FAILED, now - 40)
        ended(tx, "r4", "cleanup", RunState.DONE, now - 10)
        for node, host, role, at in (
            ("n1", "a", "agent", now),
            ("n2", "b", "agent", now - 900),
            ("n3", "c", "web", now),
        ):
            nodes.join(tx, nodes.NodeRow(node, host, 1, role, now - 999, at))
        accounts.reset_password(tx, "admin", now)

    await store.write(write)
    found = await look(store, now)
    assert found.done == {"journal_backup": now - 50, "cleanup": now - 10}
    assert list(found.failed) == ["journal_backup"]
    assert found.last == {"journal_backup": Done(now - 50, "", {}), "cleanup": Done(now - 10, "", {})}
    assert (found.hosts, found.accounts) == (("a",), 1)
