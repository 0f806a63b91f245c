"""The way to a moment, found out from what lies in the storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.layout import Segment
from mainstay.backup.physical.plan import NoWay, route
from mainstay.backup.physical.record import save
from mainstay.backup.physical.recover import _unhook
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


def test_nothing_leads_from_a_copy_to_its_original(tmp_path: Path) -> None:
    file = tmp_path / "postgresql.auto.conf"
    ours = "archive_command = 'scp %p original:'\nprimary_conninfo = 'host=original'\nrecovery_target_time = 'x'\n"
    file.write_text(f"# by hand\nwork_mem = '64MB'\n{ours}synchronous_standby_names = '\"mainstay_shop\"'\n")
    _unhook(tmp_path)
    assert file.read_text() == "# by hand\nwork_mem = '64MB'\n"
