"""The inbox keeps its word on broken disks and through every kill: acknowledged means on disk, once."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from mainstay.edge.inbox.log import DRAFT, ENDING
from tests.edge.inbox.house import house
from tests.edge.inbox.ledger import Ledger, compare, everything, imported
from tests.edge.inbox.sender import Answer, Sender
from tests.helpers import ROOT, aeventually
from tests.journals import Journal, sqlite_journal
from tests.servers.process import die_with_parent, free_port, missing
from tests.store.broken_disk import CannotBreak, small_disk

KILLS = int(os.environ.get("MAINSTAY_KILLS", "10"))
CALLS = "pwrite64,fdatasync,fsync,ftruncate,write,writev,sendto,sendmsg"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return sqlite_journal(tmp_path)


class Edge:
    """An edge in a process of its own, ready for work."""

    def __init__(self, journal: Journal, directory: Path, port: int, *tracer: str) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [*tracer, sys.executable, "-m", "tests.edge.inbox.house", journal.url, str(directory), str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509  # it makes one system call
        )

    async def ready(self) -> None:
        assert self.process.stdout
        said = await asyncio.to_thread(self.process.stdout.readline)
        assert said == b"ready\n"

    def kill(self) -> None:
        # The whole group: what strace traces outlives it.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        if self.process.stdout:
            self.process.stdout.close()


@asynccontextmanager
async def edge(journal: Journal, directory: Path, *tracer: str) -> AsyncIterator[tuple[Edge, Sender]]:
    """An edge and one sender."""
    async with journal.opened():
        """Made before, so that what is traced is its use."""
    made = Edge(journal, directory, free_port(), *tracer)
    sender = Sender(made.port)
    try:
        await made.ready()
        yield made, sender
    finally:
        sender.close()
        made.kill()


def strace(log: Path, *more: str) -> list[str]:
    if shutil.which("strace") is None:
        missing("strace", "strace")
    return ["strace", "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", *more, "-o", str(log)]


def calls(log: Path) -> list[str]:
    """The system calls in the order in which they ended."""
    lines = log.read_text(errors="replace").splitlines()
    begun: dict[str, str] = {}
    ended: list[str] = []
    for line in lines:
        thread, _, call = line.partition(" ")
        if call.rstrip().endswith("<unfinished ...>"):
            begun[thread] = call.partition("<unfinished")[0].strip()
        elif found := re.match(r"\s*<\.\.\. \w+ resumed>(.*)", call):
            ended.append(begun.pop(thread, "") + found[1])
        else:
            ended.append(call.strip())
    return ended


def kind(call: str) -> str:
    """What a call is to us: the log is written or synced, or begun anew, an answer is sent, or nothing of interest."""
    name = call.partition("(")[0]
    place = call.partition("<")[2].partition(">")[0]
    if place.endswith((ENDING, DRAFT)):
        return f"{'log' if place.endswith(ENDING) else 'draft'} {'synced' if 'sync' in name else 'written'}"
    if "HTTP/1.1 " in call:
        return call.partition("HTTP/1.1 ")[2][:3]
    return ""


def story(log: Path) -> list[str]:
    """What happened, in order, without repetitions."""
    told = [f"{kind(call)}{' failed' if 'EIO' in call else ''}" for call in calls(log) if kind(call)]
    return [one for at, one in enumerate(told) if at == 0 or told[at - 1] != one]


async def send(sender: Sender, name: str, size: int = 100) -> Answer:
    return await sender.send(name.encode() * (size // len(name)), ("X-Event-Id", name))


async def all_imported(journal: Journal, directory: Path) -> None:
    async with journal.opened() as store:
        await imported(store, directory)


async def names(journal: Journal) -> list[str]:
    async with journal.opened() as store:
        return [event.event_id or "" for event in await store.read(everything)]


async def test_the_answer_comes_after_the_sync_and_that_after_the_write(
    journal: Journal, tmp_path: Path
) -> None:
    log = tmp_path / "strace"
    async with edge(journal, tmp_path, *strace(log)) as (_, sender):
        for number in range(3):
            assert (await send(sender, f"evt{number}")).status == 202
        assert (await sender.send(secret="wrong")).status == 401
    assert story(log) == ["draft synced", *["log written", "log synced", "202"] * 3, "401"]


async def test_a_slow_disk_makes_groups_larger(journal: Journal, tmp_path: Path) -> None:
    """Every sync takes 5 ms: those who come meanwhile share the next one."""
    log = tmp_path / "strace"
    slow = ("-e", "inject=fdatasync:delay_exit=5000")
    async with edge(journal, tmp_path, *strace(log, *slow)) as (made, _):
        ledger = Ledger([made.port], senders=32)
        await ledger.more(320)
        await ledger.end()
        await all_imported(journal, tmp_path)
    synced = sum(kind(call) == "log synced" for call in calls(log))
    assert 0 < synced < len(ledger.acknowledged) / 4
    async with journal.opened() as store:
        await compare(store, ledger)


async def test_after_a_failed_sync_nothing_is_acknowledged_before_all_was_written_anew(
    journal: Journal, tmp_path: Path
) -> None:
    log = tmp_path / "strace"
    once = ("-e", "inject=fdatasync:error=EIO:when=3")  # of each thread
    async with edge(journal, tmp_path, *strace(log, *once)) as (_, sender):
        before: list[str] = []
        while (await send(sender, f"evt{len(before)}")).status == 202:
            before.append(f"evt{len(before)}")
        assert 0 < len(before) < 5

        async def taken() -> bool:
            return (await send(sender, "after1")).status in (200, 202)

        assert await aeventually(taken)
        assert (await send(sender, "after2")).status == 202
        for name in before:  # what was written anew is known still
            assert (await send(sender, name)).status == 200
        await all_imported(journal, tmp_path)
    told = story(log)
    after = told[told.index("log synced failed") :]
    assert after[1] == "503"
    until = after[: after.index("202")]
    assert until[-4:] == ["draft written", "draft synced", "log written", "log synced"]
    assert [one for one in await names(journal) if one in (*before, "after1", "after2")] == [
        *before,
        "after1",
        "after2",
    ]


async def test_while_every_sync_fails_nothing_is_acknowledged(journal: Journal, tmp_path: Path) -> None:
    broken = ("-e", "inject=fdatasync,fsync:error=EIO:when=3+")
    async with edge(journal, tmp_path, *strace(tmp_path / "strace", *broken)) as (_, sender):
        given = [await send(sender, f"evt{number}") for number in range(40)]
        assert {answer.status for answer in given[2:]} == {503}
        assert given[-1].headers["retry-after"] == "5"
        taken = [f"evt{number}" for number, answer in enumerate(given) if answer.status == 202]
    async with house(journal.url, tmp_path):  # on the disk as it is after a change
        await all_imported(journal, tmp_path)
    assert set(taken) <= set(await names(journal))


async def test_a_full_disk_is_told_and_filled_no_further(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk") as directory:
            await _fill_up(directory)
    except CannotBreak as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"not possible here: {reason}")
        pytest.skip(f"not possible here: {reason}")


async def _fill_up(directory: Path) -> None:
    journal = sqlite_journal(directory)
    async with house(journal.url, directory) as made:
        ledger = Ledger([made.port], senders=8, size=20_000)
        assert await aeventually(lambda: ledger.refused > 100)
        assert len(ledger.acknowledged) > 50
        assert made.intake.trouble
        assert "disk is full" in made.intake.trouble
        subprocess.run(["mount", "-o", "remount,size=64m", str(directory)], check=True)
        await ledger.more(50)
        await ledger.end()
    async with journal.opened() as store:
        await compare(store, ledger)


@pytest.mark.slow
async def test_killed_at_any_instant_under_load_it_loses_and_doubles_nothing(
    journal: Journal, tmp_path: Path
) -> None:
    port = free_port()
    ledger = Ledger([port], senders=32)
    ledger.up.clear()
    for number in range(KILLS):
        made = Edge(journal, tmp_path, port)
        with _killed(made, ledger):
            await made.ready()
            ledger.up.set()
            await ledger.more(random.randrange(1, 600))
        if number % 10 == 9:
            _intact(tmp_path / "journal.db")
    made = Edge(journal, tmp_path, port)
    with _killed(made, ledger):
        await made.ready()
        ledger.up.set()
        await ledger.more(10)
        await ledger.end()
        await all_imported(journal, tmp_path)
    async with journal.opened() as store:
        await compare(store, ledger)
    print(f"{KILLS} kills, {len(ledger.acknowledged)} acknowledged, {ledger.broken} answers that never came")


@contextmanager
def _killed(made: Edge, ledger: Ledger) -> Iterator[None]:
    try:
        yield
    finally:
        made.kill()
        ledger.up.clear()


def _intact(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
