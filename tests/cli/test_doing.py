"""A command that waits for the journal gives up in the end: somebody sits there."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from mainstay.cli.doing import PATIENCE, in_vain
from mainstay.core.errors import CouldNotFindOut, JournalError
from mainstay.engine.node import SAY_EVERY, Node
from mainstay.ports.clock import FakeClock
from mainstay.store.open import open_store


async def test_a_journal_that_stays_away_is_given_up_and_complained_of_now_and_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", clock)
    node = Node(store, clock, tmp_path, "cli")
    await node.start()
    waiting = asyncio.create_task(in_vain(node, clock))
    try:
        await clock.advance(2 * PATIENCE)
        assert not waiting.done()

        async def full(unit: object) -> None:
            raise JournalError("the disk is full")

        monkeypatch.setattr(store, "write", full)
        with caplog.at_level(logging.WARNING):
            await clock.advance(PATIENCE + 5)
        with pytest.raises(CouldNotFindOut, match=r"given up after 60 s: .*the disk is full"):
            await waiting
        said = [record for record in caplog.records if "cannot beat" in record.message]
        assert len(said) <= 1 + (PATIENCE + 5) / SAY_EVERY
        monkeypatch.undo()
        await clock.advance(5)
        assert node.trouble == ""
    finally:
        waiting.cancel()
        await node.stop()
        await store.close()
