"""Which base backups stay: every moment within the time that is kept, and what was proven last."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from mainstay.backup.manifest import Piece
from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.layout import Segment
from mainstay.backup.physical.record import Base, bases_of, lineage, save
from mainstay.backup.physical.retain import DAY, plan, prune, unneeded
from mainstay.core.run import Run, RunState
from mainstay.ports.clock import FakeClock
from mainstay.ports.objects.base import Denied, chunked
from mainstay.ports.objects.directory import Directory
from mainstay.store import nodes, runs
from mainstay.store.base import Tx
from mainstay.store.nodes import NodeRow
from mainstay.store.open import open_store

NOW = 1_790_000_000.0
SIZE = 16 << 20
KEEP = 14 * DAY
NOTHING = Piece(path="x", bytes=0, sha256="", raw_bytes=0, raw_sha256="")


def base(days: float, parent: Base | None = None, system: str = "7") -> Base:
    """A base backup of so many days ago, at a segment of its own."""
    first = int(1000 - days * 10)
    return Base(
        id=f"base-{days:g}", database="shop", system=system, name="shop", path=f"_physical/shop/base/base-{days:g}",
        parent=parent.id if parent else None, depth=parent.depth + 1 if parent else 0, version="15.1", major=15,
        superuser="postgres", segment_size=SIZE, timeline=1, start=first * SIZE + 40, stop=first * SIZE + 400,
        begun_at=NOW - days * DAY - 60, taken_at=NOW - days * DAY, seconds=60, parts=[], manifest=NOTHING,
        program="pg_basebackup", mainstay="0",
    )  # fmt: skip


def test_every_moment_of_the_time_that_is_kept_stays() -> None:
    bases = [base(days) for days in range(1, 31)]
    made = plan(bases, {"base-1"}, NOW, KEEP)
    assert made.refused is None
    assert set(made.keep) == {f"base-{days}" for days in range(1, 15)}
    assert "base-14" in made.keep  # moments just after it are within the time


def test_the_last_proven_never_goes() -> None:
    bases = [base(days) for days in range(1, 31)]
    made = plan(bases, {"base-25", "base-29"}, NOW, KEEP)
    assert set(made.delete) == {f"base-{days}" for days in range(26, 31)}


def test_nothing_goes_while_nothing_is_proven() -> None:
    made = plan([base(1), base(100)], set(), NOW, KEEP)
    assert (made.delete, made.refused) == ((), "no base backup is proven")


def test_nothing_goes_when_the_clock_looks_wrong() -> None:
    bases = [base(1), base(100)]
    ahead = plan(bases, {"base-1"}, NOW + 365 * DAY, KEEP)
    behind = plan(bases, {"base-1"}, NOW - 30 * DAY, KEEP)
    assert ahead.delete == behind.delete == ()
    assert "clock" in (ahead.refused or "")
    assert "clock" in (behind.refused or "")


def test_what_an_incremental_one_needs_stays() -> None:
    full = base(20)
    middle = base(16, full)
    late = base(10, middle)
    made = plan([full, middle, late, base(30)], {"base-10"}, NOW, KEEP)
    assert set(made.delete) == {"base-30"}
    assert [each.id for each in lineage(late, {each.id: each for each in (full, middle, late)})] == [
        "base-20", "base-16", "base-10",
    ]  # fmt: skip


async def test_the_log_goes_with_the_base_backups_that_need_it(tmp_path: Path) -> None:
    storage = Directory(path=tmp_path)
    archive = Archive(storage, "_physical/shop/7")
    proven, old, new = base(30), base(13), base(1)
    for number in (
        proven.first.number,
        proven.first.number + 1,
        850,
        old.first.number,
        900,
        new.first.number,
    ):
        await archive.put_whole(Segment(1, number, SIZE).name, b"log")
    await archive.put_part(Segment(1, 900, SIZE).name, 0, b"lo")
    await archive.put_part(Segment(1, 991, SIZE).name, 0, b"lo")
    contents = await archive.contents()
    made = plan([proven, old, new], {proven.id}, NOW, 10 * DAY)
    assert made.delete == ()
    gone = unneeded(contents, made.keep, [proven, old, new], SIZE)
    names = [(each.split("/")[-1][:24] if "/wal/" in each else each.split("/")[-2]) for each in gone]
    wanted = [Segment(1, number, SIZE).name for number in (proven.first.number + 1, 850, 900)]
    assert sorted(names) == sorted(wanted)


async def test_a_damaged_record_is_no_base_backup(tmp_path: Path) -> None:
    storage = Directory(path=tmp_path)
    await save(storage, base(1))
    await save(storage, base(2))
    file = tmp_path / "_physical/shop/base/base-2/base.json"
    await storage.put(
        "_physical/shop/base/base-2/base.json", chunked(file.read_bytes().replace(b"15.1", b"15.2"))
    )
    found, broken = await bases_of(storage, "shop")
    assert [each.id for each in found] == ["base-1"]
    assert broken == ["_physical/shop/base/base-2"]
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", FakeClock(NOW))
    await store.write(lambda tx: proven_by_a_run(tx, {"proven": True, "bases": ["base-1"]}))
    gone = await prune(store, storage, "shop", NOW, KEEP, "now")
    await store.close()
    assert gone.refused == "nothing is deleted: the record of _physical/shop/base/base-2 cannot be read"


def proven_by_a_run(tx: Tx, outcome: dict[str, Any]) -> None:
    queued = runs.insert(
        tx, Run("r", "prove_log:shop", "k", RunState.QUEUED, NOW - DAY, created_at=NOW - DAY)
    )
    nodes.join(tx, NodeRow("n", "host", 1, "agent", NOW, NOW))
    run = runs.take(tx, queued.id, queued.job, "n", NOW - DAY)
    assert run is not None
    assert runs.settle(tx, run, RunState.DONE, NOW - DAY, outcome=outcome) is not None


async def test_what_may_go_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    storage = Directory(path=tmp_path / "vault")
    archive = Archive(storage, "_physical/shop/7")
    for days in (30, 20, 13, 1):
        await save(storage, base(days))
        await storage.put(f"_physical/shop/base/base-{days}/00000.tar.zst", chunked(b"tar"))
        await archive.put_whole(base(days).first.name, b"log")
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", FakeClock(NOW))
    assert (await prune(store, storage, "shop", NOW, KEEP, "now")).refused == "no base backup is proven"
    outcome = {"proven": True, "bases": ["base-13"]}
    await store.write(lambda tx: proven_by_a_run(tx, outcome))
    gone = await prune(store, storage, "shop", NOW, KEEP, "now")
    await store.close()
    assert (gone.bases, gone.log, gone.refused) == (
        1,
        1,
        None,
    )  # base-20 is where the time that is kept begins
    assert [each.id for each in (await bases_of(storage, "shop"))[0]] == ["base-20", "base-13", "base-1"]
    assert base(30).first.name not in (await archive.contents()).whole
    assert not (tmp_path / "vault/_physical/shop/base/base-30").exists()


async def test_of_a_server_that_is_no_more_nothing_stays_for_ever(tmp_path: Path) -> None:
    """Nor of a branch: its base backups went long ago, or a deletion was killed, and nobody writes there."""
    storage = Directory(path=tmp_path / "vault")
    now = time.time()
    for home in ("7", "7.1", "8", "9"):
        archive = Archive(storage, f"_physical/shop/{home}")
        await archive.put_whole(base(30).first.name, b"log")
        await archive.put_part(base(30).last.name, 0, b"lo")
        await archive.put_history(2, b"")
    for file in (tmp_path / "vault").rglob("*.zst"):
        if (
            file.parts[-4] != "9" and file.parts[-3] != "9"
        ):  # a server that has just come, without a base backup yet
            os.utime(file, (now - 3 * DAY, now - 3 * DAY))
    current = base(1, system="8").model_copy(update={"taken_at": now - DAY})
    await save(storage, current)
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", FakeClock(now))
    await store.write(lambda tx: proven_by_a_run(tx, {"proven": True, "bases": ["base-1"]}))
    gone = await prune(store, storage, "shop", now, KEEP, "now")
    await store.close()
    left = {entry.path.split("/")[2]: 0 for entry in [each async for each in storage.list("_physical/shop")]}
    assert (set(left), gone.refused) == ({"8", "9", "base"}, None)
    # Of the one that goes on, what no base backup needs is gone, whole or not.
    assert [each.path.split("/")[3] async for each in storage.list("_physical/shop/8")] == ["history"]


async def test_what_may_not_be_deleted_stays_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that may not delete is on purpose: the base backup that was just taken did not fail because of it."""

    async def denied(self: Directory, name: str) -> None:
        raise Denied("not for you")

    storage = Directory(path=tmp_path / "vault")
    for days in (30, 20, 1):
        await save(storage, base(days))
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", FakeClock(NOW))
    await store.write(lambda tx: proven_by_a_run(tx, {"proven": True, "bases": ["base-1"]}))
    monkeypatch.setattr(Directory, "remove", denied)
    gone = await prune(store, storage, "shop", NOW, KEEP, "now")
    await store.close()
    assert (gone.bases, gone.refused) == (
        0,
        "what may go stays, as the storage does not let us delete: not for you",
    )
    assert len((await bases_of(storage, "shop"))[0]) == 3
