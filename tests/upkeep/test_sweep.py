"""What goes and what stays, on real trees."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay.core.errors import MainstayError
from mainstay.ports.clock import FakeClock
from mainstay.upkeep.cleanup.opened import Opened
from mainstay.upkeep.cleanup.sweep import DEEPEST
from tests.upkeep.broom import DAY, left, mounted, needs_root, plant, sweep


def aged(path: Path, days: float) -> None:
    """Write into a file's own times that it was modified so many days ago."""
    at = path.stat().st_mtime - days * DAY
    os.utime(path, (at, at))


def test_old_files_go_and_the_rest_stays(tmp_path: Path) -> None:
    plant(tmp_path, "a.log", "b.txt", "deep/er/c.log", "keep/d.log")
    tally = sweep(tmp_path, match=["*.log"], skip=["keep"])
    assert left(tmp_path) == {"b.txt", "keep/d.log"}
    assert (tally.files, tally.in_time, tally.left) == (2, True, {})


def test_nothing_goes_that_is_young_by_any_measure(tmp_path: Path) -> None:
    plant(tmp_path, "a")
    aged(tmp_path / "a", 100)
    # Unpacked or renamed a moment ago: it may be in use, whatever its own date says.
    assert sweep(tmp_path, ahead=DAY, older_than="7d").files == 0
    assert sweep(tmp_path, ahead=DAY, older_than="7d", by="modified").files == 1


def test_what_was_read_lately_stays_where_the_rule_says_so(tmp_path: Path) -> None:
    plant(tmp_path, "a")
    stamp = (tmp_path / "a").stat().st_mtime
    os.utime(tmp_path / "a", (stamp + 25 * DAY, stamp))
    assert sweep(tmp_path, by="used").files == 0
    assert sweep(tmp_path, by="touched").files == 1


def test_a_rehearsal_counts_the_same_and_deletes_nothing(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b/c", size=5000)
    before = left(tmp_path)
    would = sweep(tmp_path, act=False)
    assert left(tmp_path) == before
    assert would.to_json() == sweep(tmp_path).to_json()
    assert left(tmp_path) == set()


def test_the_newest_of_each_directory_stay(tmp_path: Path) -> None:
    names = [f"{place}/dump-{number}.gz" for place in ("x", "y") for number in range(5)]
    plant(tmp_path, *names, "x/note.txt")
    for name in names:
        aged(tmp_path / name, 20 - int(name[-4]))
    sweep(tmp_path, match=["dump-*.gz"], keep_last=2)
    assert left(tmp_path) == {
        "x/dump-3.gz", "x/dump-4.gz", "x/note.txt", "y/dump-3.gz", "y/dump-4.gz",
    }  # fmt: skip


def test_size_and_owner_are_conditions(tmp_path: Path) -> None:
    plant(tmp_path, "small")
    plant(tmp_path, "large", size=20_000)
    assert sweep(tmp_path, larger_than="10kB", owner=[os.getuid() + 1]).files == 0
    sweep(tmp_path, larger_than="10kB", owner=[os.getuid()])
    assert left(tmp_path) == {"small"}
    with pytest.raises(MainstayError, match="no account nobody-at-all"):
        sweep(tmp_path, owner=["nobody-at-all"])


def test_only_files_and_links_go(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(tmp_path, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{place}/socket")
        os.close(place)
    (tmp_path / "link").symlink_to("/etc/passwd")
    sweep(tmp_path)
    assert left(tmp_path) == {"pipe", "socket"}
    assert Path("/etc/passwd").exists()


def test_empty_directories_go_when_asked_for_and_never_the_root(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/c", "d/.keep")
    sweep(tmp_path, skip=[".keep"])
    assert (tmp_path / "a/b").is_dir()
    tally = sweep(tmp_path, skip=[".keep"], empty_directories=True)
    assert (tally.directories, [path.name for path in tmp_path.iterdir()]) == (2, ["d"])
    sweep(tmp_path, empty_directories=True)
    assert tmp_path.is_dir()


def test_what_lies_too_deep_is_left_and_said(tmp_path: Path) -> None:
    place = tmp_path
    for _ in range(DEEPEST + 2):
        place = place / "d"
        place.mkdir()
    plant(place, "file")
    tally = sweep(tmp_path)
    assert tally.left == {f"it is deeper than {DEEPEST} directories": 1}
    assert (place / "file").exists()


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[bytes]:
    """Another program, which holds `held` open and appends a line for every line that it is sent."""
    plant(tmp_path, "held", size=8192)
    script = "import sys\nf = open(sys.argv[1], 'ab', 0)\nprint('ready', flush=True)\n"
    script += "for line in sys.stdin: f.write(b'new')"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "held")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[bytes], said: bytes = b"") -> None:
    process.communicate(said, timeout=10)


def test_an_open_file_stays_or_is_emptied_in_place(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    tally = sweep(tmp_path)
    assert (tally.files, tally.freed) == (0, 0)
    assert list(tally.left) == [f"python ({holder.pid}) has it open"] or "has it open" in next(
        iter(tally.left)
    )
    tally = sweep(tmp_path, if_open="truncate")
    assert (tally.files, tally.truncated, tally.freed) == (0, 1, 8192)
    end(holder, b"go\n")
    assert (tmp_path / "held").read_bytes() == b"new"


def test_an_open_file_with_a_second_name_is_not_emptied(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.hardlink_to(tmp_path / "held")
    tally = sweep(tmp_path, if_open="truncate")
    end(holder)
    assert tally.left == {"it is open and has a second name": 1}
    assert outside.stat().st_size == 8192
    outside.unlink()


def test_a_file_that_is_only_mapped_is_in_use(tmp_path: Path) -> None:
    import mmap

    plant(tmp_path, "mapped", size=4096)
    with (tmp_path / "mapped").open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert sweep(tmp_path).files == 0
    memory.close()
    assert sweep(tmp_path).files == 1


@needs_root
def test_programs_that_do_not_show_their_files_are_counted(tmp_path: Path) -> None:
    plant(tmp_path, "a")
    seen, opened = (tmp_path / "a").stat(), Opened(FakeClock())
    os.seteuid(65534)
    try:
        assert opened.holder(seen) is None
    finally:
        os.seteuid(0)
    assert opened.hidden > 0


def test_old_releases_go_but_for_the_newest_and_the_one_in_use(tmp_path: Path) -> None:
    releases = tmp_path / "releases"
    for number in range(6):
        plant(releases, f"r{number}/bin/app", f"r{number}/data", size=5000)
        aged(releases / f"r{number}", 20 - number)
    (tmp_path / "current").symlink_to("releases/r1")
    working = subprocess.Popen(
        [sys.executable, "-c", "input()"], cwd=releases / "r0/bin", stdin=subprocess.PIPE
    )
    tally = sweep(releases, what="directories", keep_last=2, by="modified")
    end(working, b"\n")
    assert sorted(path.name for path in releases.iterdir()) == ["r0", "r1", "r4", "r5"]
    assert tally.directories == 2
    assert any("current points to it" in why for why in tally.left)
    assert any("uses bin in it" in why for why in tally.left)


def test_a_directory_stays_with_anything_in_it_that_must_stay(tmp_path: Path) -> None:
    plant(tmp_path, "young/db/live.db", "kept/deep/er/x.keep", "old/db/dead.db")
    live = tmp_path / "young/db/live.db"
    aged(live, -29)  # written in place: no directory's own time changes with that
    tally = sweep(tmp_path, what="directories", skip=["*.keep"], by="modified")
    assert left(tmp_path) == {"young/db/live.db", "kept/deep/er/x.keep"}
    assert tally.directories == 1
    assert set(tally.left) == {
        "live.db in it is not old enough",
        "x.keep in it stays, as `skip` says",
    }


@needs_root
def test_a_directory_stays_with_a_file_of_somebody_else_s_in_it(tmp_path: Path) -> None:
    plant(tmp_path, "mixed/theirs", "mine/a")
    os.chown(tmp_path / "mixed/theirs", 12345, -1)
    sweep(tmp_path, what="directories", owner=[0])
    assert left(tmp_path) == {"mixed/theirs"}


def test_a_file_with_two_names_goes_with_its_last(tmp_path: Path) -> None:
    plant(tmp_path, "a", size=8192)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    tally = sweep(tmp_path)
    assert (left(tmp_path), tally.files) == (set(), 2)
    assert tally.freed >= 8192


@needs_root
def test_what_came_free_is_what_the_file_system_has_more(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, "-t", "tmpfs", "-o", "size=64m"):
        plant(tmp_path, "a/one", "a/two", "b", size=300_000)
        (tmp_path / "sparse").touch()
        os.truncate(tmp_path / "sparse", 10_000_000)
        (tmp_path / "twin").hardlink_to(tmp_path / "b")
        before = os.statvfs(tmp_path)
        tally = sweep(tmp_path, skip=["twin"])
        after = os.statvfs(tmp_path)
        assert tally.files == 4
        assert tally.freed == (after.f_bfree - before.f_bfree) * before.f_frsize > 600_000
