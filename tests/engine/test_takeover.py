"""Real processes die, freeze and wake: their work goes on elsewhere, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.core.run import RunState
from mainstay.store import runs
from tests.engine.processes import DEADLINE, Yard, yard
from tests.helpers import aeventually, eventually
from tests.journals import Journal

LEASE = 4.0
across = pytest.mark.parametrize("journal", ["postgres"], indirect=True)


@pytest.fixture
def processes(journal: Journal, tmp_path: Path) -> Iterator[Yard]:
    with yard(journal, tmp_path) as made:
        yield made


async def done(journal: Journal, key: str = "diary@0") -> None:
    """Wait until the run has ended well."""
    async with journal.opened() as store:

        async def look() -> bool:
            run = await store.read(lambda tx: runs.by_key(tx, key))
            return run is not None and run.state is RunState.DONE

        await aeventually(look, DEADLINE)


async def test_a_killed_process_is_followed_after_its_last_finished_step(
    processes: Yard, journal: Journal
) -> None:
    processes.hold("b")
    first = processes.start(enqueue=1)
    processes.reached("b")
    processes.start()
    killed = time.monotonic()
    first.kill()
    processes.reached("b", 2)
    took = time.monotonic() - killed
    processes.let_go("b")
    await done(journal)
    assert (processes.count_of("a"), processes.count_of("b"), processes.count_of("c")) == (1, 2, 1)
    print(f"taken over on one host after {took * 1000:.0f} ms")
    assert took < 2


async def test_a_child_that_lives_on_does_not_keep_its_dead_owner_alive(
    processes: Yard, journal: Journal
) -> None:
    processes.hold("b")
    first = processes.start(enqueue=1, child=True)
    child = int(first.said().split("child ")[1].split()[0])
    try:
        processes.reached("b")
        processes.start()
        first.kill()
        processes.reached("b", 2)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


async def test_a_lease_outlives_a_freeze_and_not_a_death(processes: Yard) -> None:
    first = processes.start(lease="checks")
    eventually(lambda: "held 1" in first.said(), DEADLINE)
    second = processes.start(lease="checks")
    processes.freeze(first)
    with pytest.raises(AssertionError):
        eventually(lambda: "held" in second.said(), LEASE + 1)
    first.kill()
    eventually(lambda: "held 2" in second.said(), DEADLINE)


async def test_a_killed_process_is_followed_by_its_own_successor(processes: Yard, journal: Journal) -> None:
    processes.hold("b")
    first = processes.start(enqueue=1)
    processes.reached("b")
    first.kill()
    processes.let_go("b")
    processes.start()
    await done(journal)
    assert (processes.count_of("a"), processes.count_of("c"), processes.count_of("end")) == (1, 1, 1)


async def test_a_frozen_process_is_never_robbed_on_its_own_host(processes: Yard, journal: Journal) -> None:
    processes.hold("b")
    first = processes.start(enqueue=1)
    processes.reached("b")
    processes.start()
    processes.freeze(first)
    processes.let_go("b")
    with pytest.raises(AssertionError):
        eventually(lambda: processes.count_of("b") > 1 or processes.count_of("c"), LEASE + 2)
    processes.thaw(first)
    await done(journal)
    assert [entry[0] for entry in processes.did()] == ["a", "a!", "b", "b!", "c", "c!", "end"]
    assert {entry[2] for entry in processes.did()} == {str(first.pid)}


@across
async def test_a_killed_process_is_followed_across_hosts(processes: Yard, journal: Journal) -> None:
    processes.hold("b")
    first = processes.start(host="north", enqueue=1)
    processes.reached("b")
    processes.start(host="south")
    killed = time.monotonic()
    first.kill()
    processes.reached("b", 2)
    took = time.monotonic() - killed
    processes.let_go("b")
    await done(journal)
    assert (processes.count_of("a"), processes.count_of("c")) == (1, 1)
    print(f"taken over across hosts after {took:.2f} s")
    assert LEASE - 1.1 < took < 2 * LEASE


@across
async def test_a_frozen_process_is_robbed_across_hosts_and_gives_up_when_it_wakes(
    processes: Yard, journal: Journal
) -> None:
    processes.hold("b")
    first = processes.start(host="north", enqueue=1)
    processes.reached("b")
    second = processes.start(host="south")
    processes.freeze(first)
    processes.reached("b", 2)
    processes.let_go("b")
    await done(journal)
    processes.thaw(first)
    eventually(lambda: "left alone" in first.said(), DEADLINE)
    assert (processes.count_of("a"), processes.count_of("c"), processes.count_of("end")) == (1, 1, 1)
    owner = {entry[0]: entry[2] for entry in processes.did()}["c"]
    assert owner == str(second.pid)
    assert first.alive()


@across
async def test_a_node_that_was_robbed_joins_again_and_works_on(processes: Yard, journal: Journal) -> None:
    processes.hold("b")
    first = processes.start(host="north", enqueue=1)
    processes.reached("b")
    second = processes.start(host="south")
    processes.freeze(first)
    processes.reached("b", 2)
    second.kill()
    processes.thaw(first)
    processes.let_go("b")
    await done(journal)
    assert (processes.did()[-1][0], processes.did()[-1][2]) == ("end", str(first.pid))
