"""Kill it anywhere: what was acknowledged is there."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mainstay.core.errors import JournalError
from tests.helpers import ROOT, aeventually
from tests.journals import Journal, lost, put, sqlite_journal
from tests.servers.process import die_with_parent
from tests.store.broken_disk import CannotBreak, small_disk

KILLS = 32


class Scribe:
    """A child that writes, and what it has acknowledged."""

    def __init__(self, url: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.scribe", url, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509  # it makes one system call
        )
        self.lines: list[str] = []

    def hear(self, count: int) -> list[str]:
        """Read until `count` lines have come, or the end."""
        assert self.process.stdout
        while len(self.lines) < count:
            line = self.process.stdout.readline()
            if not line:
                break
            self.lines.append(line.decode().rstrip("\n"))
        return self.lines

    def kill(self) -> list[str]:
        """SIGKILL; gives everything that it acknowledged before."""
        self.process.kill()
        return self.end()

    def end(self) -> list[str]:
        """Wait for its end; gives everything that it said."""
        assert self.process.stdout
        assert self.process.stderr
        with self.process.stdout as out, self.process.stderr as err:
            self.lines += out.read().decode().splitlines()
            self.error = err.read()
        self.process.wait(60)
        return self.lines


@contextmanager
def scribe(journal: Journal, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Scribe]:
    child = Scribe(journal.url, *arguments, env=env)
    try:
        yield child
    finally:
        if child.process.poll() is None:
            child.kill()


def kept(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in connection.execute("SELECT key FROM meta WHERE key LIKE '%:%'")}


def keys(lines: list[str]) -> set[str]:
    return {line for line in lines if ":" in line and not line.startswith("refused")}


@pytest.mark.slow
def test_killed_at_any_instant_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """One writer after the other on one file, and sometimes two at once, each killed somewhere."""
    journal = sqlite_journal(tmp_path)
    chance = random.Random()
    acknowledged: set[str] = set()
    for number in range(KILLS):
        with scribe(journal, "write", f"a{number}") as one:
            if number % 4 == 0:
                with scribe(journal, "write", f"b{number}") as two:
                    two.hear(chance.randrange(2, 200))
                    one.hear(chance.randrange(2, 200))
                    acknowledged |= keys(two.kill())
            one.hear(chance.randrange(2, 400))
            acknowledged |= keys(one.kill())
        if number % 8 == 7:
            assert acknowledged <= kept(journal.path or tmp_path)
    assert len(acknowledged) > 10 * KILLS
    assert acknowledged <= kept(journal.path or tmp_path)


async def test_killed_clients_of_a_server_lose_nothing(journal: Journal) -> None:
    acknowledged: set[str] = set()
    for number in range(4):
        with scribe(journal, "write", f"a{number}") as child:
            child.hear(random.randrange(2, 100))
            acknowledged |= keys(child.kill())
    async with journal.opened() as store:
        assert await store.read(lost(acknowledged)) == []
    assert acknowledged


@pytest.mark.parametrize("point", ["journal.before_commit@5", "journal.committed@5"])
def test_killed_around_the_commit(tmp_path: Path, point: str) -> None:
    journal = sqlite_journal(tmp_path)
    with scribe(journal, "write", "a", env={"MAINSTAY_CRASH_AT": point}) as child:
        acknowledged = keys(child.end())
        assert child.process.returncode == -signal.SIGKILL
    found = kept(tmp_path / "journal.db")
    assert acknowledged <= found
    # The fifth group is on the disk or not as a whole, and nobody was told of it.
    assert point.startswith("journal.before") or found - acknowledged


def test_two_processes_share_a_file(tmp_path: Path) -> None:
    journal = sqlite_journal(tmp_path)
    with scribe(journal, "write", "a", "300") as one, scribe(journal, "write", "b", "300") as two:
        said = keys(one.end()) | keys(two.end())
        assert (one.process.returncode, two.process.returncode) == (0, 0), one.error + two.error
    assert said == kept(tmp_path / "journal.db") == {f"{name}:{i}" for name in "ab" for i in range(300)}


def test_many_processes_make_the_journal_at_once(tmp_path: Path) -> None:
    journal = sqlite_journal(tmp_path)
    children = [Scribe(journal.url, "open") for _ in range(6)]
    for child in children:
        assert child.end() == ["open"]
        assert child.process.returncode == 0, child.error


async def test_a_signal_wakes_another_process(journal: Journal) -> None:
    async with journal.opened() as store:
        with scribe(journal, "wait", "runs") as child:
            assert child.hear(2) == ["open", "ready"]
            await store.write(lambda tx: tx.signal("outbox"))
            await store.write(lambda tx: tx.signal("runs"))
            assert child.end() == ["open", "ready", "woken"]


async def test_another_process_s_signal_wakes_this_one(journal: Journal) -> None:
    async with journal.opened() as store:
        waiting = store.wait("runs", 60)
        with scribe(journal, "write", "a", "1") as child:
            assert child.end() == ["open", "a:0"]
        assert await waiting is True


# --- broken disks --------------------------------------------------------------------------------------------------


def cannot(reason: CannotBreak | str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"not possible here: {reason}")
    pytest.skip(f"not possible here: {reason}")


def test_when_fsync_fails_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    journal = sqlite_journal(tmp_path)
    with scribe(journal, "refuse", "a", "50") as child:
        said = child.end()
    if b"CannotBreak" in child.error:
        cannot(child.error.decode().splitlines()[-1])
    assert child.process.returncode == 0, child.error
    refused = [line for line in said if line.startswith("refused")]
    assert keys(said) == {f"a:{number}" for number in range(50)}
    assert len(refused) == 21
    assert all("the disk refused" in line for line in refused)
    assert keys(said) <= kept(tmp_path / "journal.db")


async def test_a_full_disk_is_told_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk") as directory:
            await _fill_up(directory)
    except CannotBreak as reason:
        cannot(reason)


async def _fill_up(directory: Path) -> None:
    journal = sqlite_journal(directory)
    acknowledged: list[str] = []

    async def write_for_ever() -> None:
        for number in range(10_000):
            await store.write(put(f"a:{number}", "x" * 20_000))
            acknowledged.append(f"a:{number}")

    async def writes_again() -> bool:
        await store.write(put("after:0"))
        return True

    async with journal.opened() as store:
        with pytest.raises(JournalError, match="the disk is full") as caught:
            await write_for_ever()
        assert caught.value.hint
        assert len(acknowledged) > 10
        missing = await store.read(lost(acknowledged))
        assert missing == []
        _make_room(directory)
        assert await aeventually(writes_again)
    assert {*acknowledged, "after:0"} <= kept(directory / "journal.db")


def _make_room(directory: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(directory)], check=True)
