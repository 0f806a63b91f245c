"""The way to a moment, found out from what lies in the storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.branches import begin, branches_of
from mainstay.backup.physical.layout import Segment
from mainstay.backup.physical.plan import NoWay, first_moment, moments, route
from mainstay.backup.physical.record import save
from mainstay.backup.physical.recover import unhook
from mainstay.backup.physical.retain import DAY
from mainstay.backup.physical.target import LATEST, Kind, Target
from mainstay.ports.objects.directory import Directory
from tests.backup.physical.test_retain import NOW, SIZE, base


async def log(storage: Directory, timeline: int, first: int, last: int) -> None:
    archive = Archive(storage, "_physical/shop/7")
    for number in range(first, last + 1):
        await archive.put_whole(Segment(timeline, number, SIZE).name, b"log")


async def test_what_was_before_a_restore_can_still_be_reached(tmp_path: Path) -> None:
    """The server was set back and lives on, on a timeline of its own; its base backups say nothing of the old one."""
    storage = Directory(path=tmp_path)
    old, new = base(5), base(1)
    start = 956 * SIZE
    await save(storage, old)
    await save(storage, new.model_copy(update={"timeline": 2, "start": start + 40, "stop": start + 400}))
    await log(storage, 1, old.first.number, 960)
    await log(storage, 2, 955, 958)
    await Archive(storage, "_physical/shop/7").put_history(2, f"1\t0/{955 * SIZE:X}\tx\n".encode())
    found = await route(storage, "shop", Target(Kind.TIME, at=NOW - 4 * DAY), timeline=1)
    assert (found.base.id, found.timeline, found.hole) == (old.id, 1, None)
    assert [each.number for each in found.segments] == list(range(old.first.number, 961))


async def test_an_older_base_backup_helps_where_an_incremental_one_lost_what_it_stands_on(
    tmp_path: Path,
) -> None:
    storage = Directory(path=tmp_path)
    whole, lost = base(6), base(4)
    torn = base(2, lost)
    await save(storage, torn)
    await log(storage, 1, whole.first.number, torn.last.number)
    with pytest.raises(NoWay, match="base backup base-4 is missing"):
        await route(storage, "shop", LATEST)
    await save(storage, whole)
    assert (await route(storage, "shop", LATEST)).chain == [whole]


async def test_what_a_server_wrote_before_it_was_set_back_is_not_mixed_with_what_it_wrote_since(
    tmp_path: Path,
) -> None:
    storage = Directory(path=tmp_path)
    old, new = base(5), base(1)
    await save(storage, old)
    await log(storage, 1, old.first.number, new.last.number)
    at = NOW - 2 * DAY
    assert (await begin(storage, "shop", "7", at)).number == 1
    branch = Archive(storage, "_physical/shop/7.1")
    with pytest.raises(NoWay, match=r"was set back at .*, and there is no base backup since"):
        await route(storage, "shop", LATEST)
    assert await first_moment(storage, "shop", "7") is None
    await save(storage, new.model_copy(update={"branch": 1}))
    await branch.put_whole(new.first.name, b"other log under the same name")
    for target, home in ((LATEST, branch.home), (Target(Kind.TIME, at=at - 1), "_physical/shop/7")):
        found = await route(storage, "shop", target)
        assert (found.archive.home, found.hole) == (home, None)
    assert found.chain == [old]
    with pytest.raises(NoWay, match="is old enough"):  # what it did until the next base backup is lost
        await route(storage, "shop", Target(Kind.TIME, at=at + 1))
    assert await first_moment(storage, "shop", "7") == new.taken_at
    assert (await moments(storage, "shop")).set_back == [at]
    assert (await begin(storage, "shop", "7", at - 5)).begun_at == at  # a clock that was set back, too
    assert [each.number for each in await branches_of(storage, "shop", "7")] == [0, 1, 2]


async def test_moments_are_told_by_the_server_s_clock(tmp_path: Path) -> None:
    """Ours is five minutes behind here: from a base backup that seems older nothing could be restored."""
    storage = Directory(path=tmp_path)
    older, newer = base(2), base(1)
    newer = newer.model_copy(update={"ready_at": newer.taken_at + 300, "opened_at": newer.begun_at + 300})
    await save(storage, older)
    await save(storage, newer)
    await log(storage, 1, older.first.number, newer.last.number)
    for seconds, expected in ((200, older), (400, newer)):
        found = await route(storage, "shop", Target(Kind.TIME, at=newer.taken_at + seconds))
        assert found.base.id == expected.id


async def test_moments_of_a_server_that_was_replaced_are_not_those_of_its_successor(tmp_path: Path) -> None:
    """Else a proof would restore, and miss, what the successor's copy of the marker rows tells of the old one."""
    storage = Directory(path=tmp_path)
    await save(storage, base(5))
    assert await first_moment(storage, "shop", "8") is None
    successor = base(1, system="8")
    await save(storage, successor)
    assert await first_moment(storage, "shop", "8") == successor.taken_at
    assert await first_moment(storage, "shop", "7") is None


async def test_moments_that_a_timeline_never_had_are_not_counted(tmp_path: Path) -> None:
    """A base backup from after the moment to which the server was restored is no way to what it is now."""
    storage = Directory(path=tmp_path)
    before, lost, after = base(5), base(3), base(1)
    await save(storage, lost)
    await save(storage, after.model_copy(update={"timeline": 2}))
    await log(storage, 1, before.first.number, lost.last.number)
    await log(storage, 2, lost.first.number, after.last.number)
    fork = f"1\t0/{(before.last.number + 1) * SIZE:X}\tx\n"
    await Archive(storage, "_physical/shop/7").put_history(2, fork.encode())
    assert await first_moment(storage, "shop", "7") == after.taken_at
    await save(storage, before)
    assert await first_moment(storage, "shop", "7") == before.taken_at


def test_nothing_leads_from_a_copy_to_its_original(tmp_path: Path) -> None:
    file = tmp_path / "postgresql.auto.conf"
    ours = "archive_command = 'scp %p original:'\nprimary_conninfo = 'host=original'\nrecovery_target_time = 'x'\n"
    file.write_text(f"# by hand\nwork_mem = '64MB'\n{ours}synchronous_standby_names = '\"mainstay_shop\"'\n")
    unhook(tmp_path)
    assert file.read_text() == "# by hand\nwork_mem = '64MB'\n"
