"""When the agent does not work somebody is told, past the journal that is perhaps the trouble itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mainstay.app import open_app
from mainstay.app.vigil import HANGS_AFTER, LOOK_EVERY, PATIENCE, REPLACED, Vigil, report
from mainstay.config import load
from mainstay.engine.pulse import FINE
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents
from tests.helpers import aeventually
from tests.servers.recorder import PAGERDUTY, Answer, Recorder

SLACK = "/services/T/B/vigil"
FILE = """
name: shop
title: The Shop
state_dir: state
notify:
  slack: {{url: {{secret: slack_url}}}}
  pagerduty: {{routing_key: {{secret: pagerduty_key}}, url: "{url}/v2/enqueue", when: critical}}
"""


class Night:
    """A vigil on a fake clock; the agent says what the test lets it say."""

    def __init__(self, file: Path, recorder: Recorder, clock: FakeClock) -> None:
        self.file = file
        self.recorder = recorder
        self.clock = clock
        self.ended = 0
        self.vigil = Vigil(clock, load(file), self._end)

    def _end(self) -> None:
        self.ended += 1

    async def passes(self, seconds: float, word: str | None = None) -> None:
        """Let time pass; the agent says `word` every five seconds."""
        for _ in range(int(seconds / LOOK_EVERY)):
            if word is not None:
                self.vigil.hear("agent", word)
            self.vigil.hear("web", FINE)
            await self.clock.advance(LOOK_EVERY)
            await self.vigil.look()

    def pages(self) -> list[str]:
        return [each.json()["event_action"] for each in self.recorder.to(PAGERDUTY) if each.accepted]

    def said(self) -> list[str]:
        return [each.json()["text"] for each in self.recorder.to(SLACK) if each.accepted]


@pytest.fixture
def night(tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Night:
    monkeypatch.setenv("MAINSTAY_SLACK_URL", recorder.url + SLACK)
    monkeypatch.setenv("MAINSTAY_PAGERDUTY_KEY", "0" * 32)
    (tmp_path / "mainstay.yaml").write_text(FILE.format(url=recorder.url))
    return Night(tmp_path / "mainstay.yaml", recorder, FakeClock())


async def test_while_the_agent_works_nobody_is_told_anything(night: Night) -> None:
    await night.passes(1800, FINE)
    assert night.recorder.requests == []
    assert night.ended == 0


@pytest.mark.parametrize(
    "word", ["the journal /x/journal.db: the disk is full (SQLITE_FULL)", "it ended with exit code 3", None]
)
async def test_every_channel_is_told_once_why_and_once_that_it_is_over(
    night: Night, word: str | None
) -> None:
    await night.passes(60, FINE)
    await night.passes(PATIENCE - LOOK_EVERY, word)
    assert night.recorder.requests == []
    await night.passes(60, word)
    assert night.pages() == ["trigger"]
    (said,) = night.said()
    assert "mainstay does not work at The Shop" in said
    assert (word or "it says nothing") in said
    await night.passes(30, FINE)
    assert night.pages() == ["trigger", "resolve"]
    assert len({each.json()["dedup_key"] for each in night.recorder.to(PAGERDUTY)}) == 1
    assert "Resolved" in night.said()[-1]
    await night.passes(600, FINE)
    assert len(night.recorder.requests) == 4


async def test_a_channel_that_does_not_take_it_is_tried_until_it_does(night: Night) -> None:
    night.recorder.behave(Answer(503), path=SLACK)
    await night.passes(PATIENCE + 60)
    assert (night.pages(), night.said()) == (["trigger"], [])
    night.recorder.accept()
    await night.passes(10)
    assert night.pages() == ["trigger"]
    assert len(night.said()) == 1


async def test_a_wrong_file_is_the_reason_and_the_channels_of_before_are_told(night: Night) -> None:
    night.file.write_text("name: shop\nservces: {}\n")
    await night.passes(PATIENCE + 10, "it ended with exit code 2")
    assert "the configuration is wrong" in night.said()[0]
    assert "servces" in night.said()[0]


async def test_an_agent_that_hangs_is_ended_once(night: Night) -> None:
    await night.passes(60, FINE)
    await night.passes(HANGS_AFTER + 60)
    assert night.ended == 1
    await night.passes(60, FINE)
    await night.passes(HANGS_AFTER + 60)
    assert night.ended == 2


async def test_one_that_has_never_spoken_is_given_all_the_time_it_needs(night: Night) -> None:
    await night.passes(3600)
    assert night.ended == 0
    assert night.pages() == ["trigger"]


async def test_an_edge_that_hangs_is_told_of_by_its_name_and_ended(night: Night) -> None:
    night.vigil = Vigil(night.clock, load(night.file), night._end, "edge-2")
    night.vigil.hear("edge-2", FINE)
    await night.passes(HANGS_AFTER + 10, FINE)  # it is the agent that is fine
    assert night.ended == 1
    assert "edge-2 does not work at The Shop" in night.said()[0]
    night.vigil.hear("edge-2", FINE)
    await night.vigil.look()
    assert night.pages() == ["trigger", "resolve"]
    assert "edge-2 works again" in night.said()[-1]


async def test_after_a_pause_of_the_whole_machine_nobody_is_accused(night: Night) -> None:
    await night.passes(60, FINE)
    await night.clock.advance(3600)
    await night.vigil.look()
    await night.passes(30, FINE)
    assert night.recorder.requests == []
    assert night.ended == 0


@asynccontextmanager
async def reporting(file: Path, said: list[str]) -> AsyncIterator[Callable[[], object]]:
    async with open_app(load(file), role="agent") as app:
        task = asyncio.create_task(report(app, said.append))

        async def replaced() -> object:
            return await app.store.read(lambda tx: incidents.live_of(tx, REPLACED))

        yield replaced
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_agent_says_that_it_is_fine_and_tells_of_a_journal_that_was_removed(night: Night) -> None:
    said: list[str] = []
    async with reporting(night.file, said) as replaced:
        await aeventually(lambda: said)
        assert said[0] == FINE
        for file in (night.file.parent / "state").glob("journal.db*"):
            file.unlink()
        found = await aeventually(replaced, 20)
        assert found is not None
