"""Killed around the sending of a message: none is lost, and at most one is sent once more, with the same key."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.crash.offices import DEADLINE, Offices, offices, without_repeats
from tests.helpers import eventually
from tests.journals import Journal, journal
from tests.servers.process import Engine
from tests.servers.recorder import Answer, Behaviour, Drop, Hang, Recorder

__all__ = ["journal"]

POINTS = [
    *(f"outbox.sent@{number}" for number in (1, 2, 3, 4)),
    *(f"outbox.{name}@{number}" for name in ("claimed", "kept") for number in (1, 3)),
]


@pytest.fixture
def office(journal: Journal, tmp_path: Path, recorder: Recorder) -> Iterator[Offices]:
    with offices(journal, tmp_path, recorder) as made:
        yield made


@pytest.mark.parametrize("point", POINTS)
async def test_it_goes_on_where_it_died(office: Offices, point: str) -> None:
    office.dies("fail", "ok", "ok", at=point)
    office.works()
    _, _, owed = await office.journalled()
    assert all(row.sent_at is not None for row in owed)
    wanted = [row.id for row in owed if row.channel == "hook"]
    assert without_repeats(office.keys()) == wanted
    assert without_repeats(office.actions()) == ["trigger", "resolve"]
    repeats = len(office.keys()) + len(office.actions()) - len(owed)
    # Two channels send at the same time, so the one that did not die may have been caught between the same two lines.
    assert repeats <= (2 if point.startswith("outbox.sent") else 1)


async def test_after_a_death_in_mid_send_the_next_one_does_not_wait(office: Offices) -> None:
    office.provider.hang(times=2)
    first = office.start("fail")
    eventually(lambda: len(office.provider.requests) == 2, DEADLINE)
    first.kill()
    next_one = office.start()
    # The dead one's claim would have held for another ten seconds.
    eventually(lambda: not next_one.alive(), 8)
    assert len(office.keys()) == len(office.actions()) == 1


@pytest.mark.parametrize("seed", range(2))
async def test_killed_again_and_again_while_the_provider_is_in_trouble(office: Offices, seed: int) -> None:
    chance = random.Random(seed)
    verdicts = ["fail", "ok", "ok"] * 8
    for _ in range(12):
        trouble: list[Behaviour] = [Hang(), Drop(), Answer(503)]
        office.provider.behave(chance.choice(trouble), times=1)
        office.provider.answer(200, times=2)
    kills = 0
    while verdicts:
        some, verdicts = verdicts[:6], verdicts[6:]
        engine = office.start(*some, send_while_feeding=True)
        _see(engine, lambda said: "fed" in said)
        goal = len(office.provider.requests) + chance.randrange(3)
        _see(engine, partial(_requested, office, goal))
        if engine.alive():
            engine.process.send_signal(signal.SIGKILL)
            kills += 1
        engine.process.wait(DEADLINE)
    office.provider.accept()
    office.works()
    _, _, owed = await office.journalled()
    assert kills > 0
    assert len(owed) == 2 * 2 * 8
    assert all(row.sent_at is not None for row in owed)
    assert without_repeats(office.keys()) == [row.id for row in owed if row.channel == "hook"]
    # A message is sent once more for each death at most, and for each answer that never came.
    assert len(office.keys()) - 16 <= kills


def _see(engine: Engine, seen: Callable[[str], bool]) -> None:
    """Wait until it has come so far, or is dead."""
    eventually(lambda: seen(engine.said()) or not engine.alive(), DEADLINE)


def _requested(office: Offices, goal: int, said: str) -> bool:
    return len(office.provider.requests) >= goal
