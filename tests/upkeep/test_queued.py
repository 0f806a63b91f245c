"""The sweep of what waits: what is stuck is freed, depth and age are told, and a pile wakes somebody."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import pytest

from mainstay.core.incident import EventKind, Severity
from mainstay.core.notifier import Message
from mainstay.core.run import RunState
from mainstay.engine.queue import enqueue
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox, inbox_delivery, outbox, runs
from mainstay.store.base import Store, Tx
from mainstay.store.inbox import Arrival, key_of
from mainstay.upkeep.queued.job import ProcessQueuedJobs
from tests.upkeep.house import House, job_of


@pytest.fixture
def house(store: Store, clock: FakeClock, tmp_path: Path) -> House:
    return House(store, clock, tmp_path)


async def webhook(store: Store, id: str, at: float, source: str = "bank") -> None:
    digest = hashlib.sha256(id.encode()).hexdigest()
    one = Arrival(
        id=id, headers="[]", body=b"{}", digest=digest, peer="127.0.0.1", event_id=None,
        source=source, received_at=at, window=60.0, key=key_of(None, digest),
    )  # fmt: skip
    await store.write(lambda tx: inbox.put_many(tx, [one]))


async def test_nothing_waits(house: House) -> None:
    run = await house.run(job_of(ProcessQueuedJobs))
    assert (run.state, run.summary) == (RunState.DONE, "nothing waits")
    assert run.outcome == {"freed": 0, "made_due": 0, "dead": 0, "depths": []}


async def test_depth_and_age_of_every_queue_are_told(house: House, clock: FakeClock) -> None:
    now = clock.now()
    for name, age in (("a", 120), ("b", 60)):
        await webhook(house.store, name, now - age)

    def queue(tx: Tx) -> None:
        enqueue(tx, "nightly", key="nightly@1", due_at=now - 300, now=now - 300)
        enqueue(tx, "later", key="later@1", due_at=now + 300, now=now - 900)
        message = Message(
            key="m1", thread="t", kind=EventKind.OPENED, severity=Severity.WARNING, service="web",
            title="web fails", detail="x", event_at=now - 30,
        )  # fmt: skip
        outbox.owe(tx, "slack", message, now - 30)

    await house.store.write(queue)
    run = await house.run(job_of(ProcessQueuedJobs))
    assert run.outcome["depths"] == [
        {"what": "runs", "waiting": 1, "age": 300.0},
        {"what": "webhooks of bank", "waiting": 2, "age": 120.0},
        {"what": "messages to slack", "waiting": 1, "age": 30.0},
    ]
    assert await house.lines(run) == run.summary.split("; ")
    assert "2 webhooks of bank, the oldest for 2m" in run.summary


async def test_a_pile_fails_the_run_and_says_where_to_look(house: House, clock: FakeClock) -> None:
    await webhook(house.store, "a", clock.now() - 7200)
    run = await house.run(job_of(ProcessQueuedJobs, stuck_after="1h"))
    assert (run.state, run.attempt) == (RunState.FAILED, 1)
    assert run.error is not None
    assert "work piles up: 1 webhooks of bank, the oldest for 2h" in run.error
    assert "mainstay inbox list --source bank" in run.error
    assert (await house.run(job_of(ProcessQueuedJobs, stuck_after="3h"))).state is RunState.DONE


async def test_what_is_stuck_is_freed(house: House, clock: FakeClock) -> None:
    now = clock.now()
    await webhook(house.store, "a", now - 60)
    far = now + 90 * 86400

    def mislay(tx: Tx) -> str:
        inbox_delivery.settle(
            tx,
            [inbox_delivery.Ending("a", "bank", 1, "queued", now, 0.1, None, "refused", next_at=far)],
        )
        return enqueue(tx, "nightly", key="nightly@1", due_at=now - 9, now=now - 9, owner="a-dead-node").id

    mislaid = await house.store.write(mislay)
    run = await house.run(job_of(ProcessQueuedJobs))
    assert (run.outcome["freed"], run.outcome["made_due"]) == (1, 1)
    assert "1 runs freed, 1 attempts made due" in run.summary
    event = await house.store.read(lambda tx: inbox_delivery.get(tx, "a"))
    assert event is not None
    assert event.next_at <= clock.now()
    assert (await house.store.read(partial(runs.require, run_id=mislaid))).owner is None
