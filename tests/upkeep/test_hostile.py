"""Trees made by somebody who wants the clean-up to reach outside: it never does."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay.core.errors import MainstayError
from mainstay.ports.clock import FakeClock
from mainstay.upkeep.cleanup.opened import Opened
from mainstay.upkeep.cleanup.pinned import Left, Root
from mainstay.upkeep.cleanup.sweep import Found, _truncate
from tests.upkeep.broom import MAY_MOUNT, left, mounted, needs_root, plant, sweep

TREES = int(os.environ.get("MAINSTAY_FUZZ", "40"))
RACES = int(os.environ.get("MAINSTAY_FUZZ", "60"))

NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b"c", b"a\nb", b"\xff\xfe", b"-rf", b"* ", b"\x1b[2J", b"..."]),
    st.binary(min_size=1, max_size=12).filter(
        lambda name: not {0, 47} & set(name) and name not in (b".", b"..")
    ),
)
KINDS = [
    "file",
    "file",
    "directory",
    "link",
    "climb",
    "loop",
    "hard",
    "fifo",
    *(["bind", "pin"] if MAY_MOUNT else []),
]
THINGS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5), NAMES), min_size=1, max_size=14)
RULES = st.fixed_dictionaries(
    {
        "what": st.sampled_from(["files", "files", "directories"]),
        "if_open": st.sampled_from(["leave", "truncate"]),
        "empty_directories": st.booleans(),
        "keep_last": st.sampled_from([0, 0, 1]),
    }
)


class Everything(Opened):
    """Every file counts as open: with `truncate` all of them are emptied."""

    def holder(self, found: os.stat_result) -> str | None:
        return "somebody" if stat.S_ISREG(found.st_mode) else None


def portrait(place: Path) -> dict[bytes, tuple[object, ...]]:
    """All that is in a directory: names, kinds, owners and contents."""
    found: dict[bytes, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(os.fsencode(place)):
        for name in [*directories, *files]:
            path = os.path.join(directory, name)
            seen = os.lstat(path)
            target = os.readlink(path) if stat.S_ISLNK(seen.st_mode) else b""
            content = Path(os.fsdecode(path)).read_bytes() if stat.S_ISREG(seen.st_mode) else b""
            found[path] = (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_mtime_ns, target, content)
    return found


@contextmanager
def stage() -> Iterator[tuple[Path, Path, ExitStack]]:
    """A root, a directory beside it that must never change, and what is to be undone at the end."""
    base = Path(tempfile.mkdtemp(prefix="mainstay-hostile-")).resolve()
    root, outside = base / "root", base / "outside"
    root.mkdir()
    plant(outside, "treasure", "deep/treasure", "deep/er/treasure", size=5000)
    try:
        with ExitStack() as stack:
            yield root, outside, stack
    finally:
        shutil.rmtree(base)


class Villain:
    """Builds a tree out of instructions."""

    def __init__(self, root: Path, outside: Path, stack: ExitStack) -> None:
        self.places = [os.fsencode(root)]
        self.outside = os.fsencode(outside)
        self.stack = stack
        self.mounts = 0

    def make(self, kind: str, where: int, name: bytes) -> None:
        path = os.path.join(self.places[where % len(self.places)], name)
        with suppress(FileExistsError):
            getattr(self, kind)(path)

    def file(self, path: bytes) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    def directory(self, path: bytes) -> None:
        os.mkdir(path)
        self.places.append(path)

    def link(self, path: bytes) -> None:
        os.symlink(self.outside, path)

    def climb(self, path: bytes) -> None:
        os.symlink(os.path.relpath(os.path.join(self.outside, b"deep/treasure"), os.path.dirname(path)), path)

    def loop(self, path: bytes) -> None:
        os.symlink(b".", path)

    def hard(self, path: bytes) -> None:
        os.link(os.path.join(self.outside, b"treasure"), path)

    def fifo(self, path: bytes) -> None:
        os.mkfifo(path)

    def bind(self, path: bytes) -> None:
        os.mkdir(path)
        self._mount(self.outside, path)

    def pin(self, path: bytes) -> None:
        self.file(path)
        self._mount(os.path.join(self.outside, b"treasure"), path)

    def _mount(self, source: bytes, target: bytes) -> None:
        subprocess.run([b"mount", b"--bind", source, target], check=True)
        self.stack.callback(subprocess.run, [b"umount", b"--lazy", target], check=True)
        self.mounts += 1


@settings(max_examples=TREES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(things=THINGS, rule=RULES, open_files=st.booleans())
def test_nothing_outside_of_the_root_is_ever_touched(
    things: list[tuple[str, int, bytes]], rule: dict[str, Any], open_files: bool
) -> None:
    with stage() as (root, outside, stack):
        villain = Villain(root, outside, stack)
        for thing in things:
            villain.make(*thing)
        before = portrait(outside)
        opened = Everything(FakeClock()) if open_files else Opened(FakeClock())
        tally = sweep(root, opened=opened, **rule)
        assert portrait(outside) == before
        assert root.is_dir()
        # Whatever is printed and kept of strange names is plain text.
        assert all(line.isprintable() and line.encode() for line in tally.examples)
        if rule["what"] == "files" and not open_files and not rule["keep_last"] and not villain.mounts:
            assert all(stat.S_ISFIFO(os.lstat(root / name).st_mode) for name in left(root))


def test_a_directory_that_was_exchanged_for_another_is_not_entered(tmp_path: Path) -> None:
    plant(tmp_path, "root/a/x", "other/treasure")
    with Root(tmp_path / "root", {}) as root:
        seen = root.top.look("a")
        (tmp_path / "root/a").rename(tmp_path / "root/b")
        (tmp_path / "other").rename(tmp_path / "root/a")
        with pytest.raises(Left, match="exchanged"):
            root.enter(root.top, "a", seen)


@needs_root
def test_a_file_that_is_mounted_is_neither_deleted_nor_emptied(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    plant(root, "log")
    plant(outside, "treasure")
    before = portrait(outside)
    with mounted(outside / "treasure", root / "log", "--bind"):
        for opened in (Everything(FakeClock()), Opened(FakeClock())):
            tally = sweep(root, opened=opened, if_open="truncate")
            assert (tally.files, tally.truncated) == (0, 0)
    assert portrait(outside) == before


class Meddler(Opened):
    """Does something at the worst moment: after a file was looked at and before it is deleted."""

    def __init__(self, deed: Callable[[], object]) -> None:
        super().__init__(FakeClock())
        self.deed = deed

    def holder(self, found: os.stat_result) -> str | None:
        deed, self.deed = self.deed, lambda: None
        deed()
        return None


class Holder(Meddler):
    """The same, and the file counts as open."""

    def holder(self, found: os.stat_result) -> str | None:
        super().holder(found)
        return "somebody"


def test_a_directory_that_becomes_a_link_leads_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    plant(root, "a/treasure")
    plant(outside, "treasure")

    def exchange() -> None:
        (root / "a").rename(root / "was-a")
        (root / "a").symlink_to(outside)

    tally = sweep(root, opened=Meddler(exchange))
    assert left(outside) == {"treasure"}
    assert tally.left == {"its directory was moved away meanwhile": 1}


def test_a_directory_that_is_carried_out_of_the_root_keeps_its_files(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    plant(root, "a/b/one", "a/b/two")
    outside.mkdir()
    tally = sweep(root, opened=Meddler(lambda: (root / "a").rename(outside / "a")), empty_directories=True)
    assert left(outside) == {"a/b/one", "a/b/two"}
    assert tally.files == 0


@pytest.mark.parametrize("what", ["written", "exchanged"])
def test_a_file_that_is_new_again_stays(tmp_path: Path, what: str) -> None:
    plant(tmp_path, "a")

    def renew() -> None:
        if what == "exchanged":
            (tmp_path / "a").unlink()
        (tmp_path / "a").write_text("new, and needed")

    tally = sweep(tmp_path, opened=Meddler(renew))
    assert (tmp_path / "a").read_text() == "new, and needed"
    assert tally.left == {"it was exchanged or changed meanwhile": 1}


def test_a_link_in_the_place_of_an_open_file_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    plant(root, "log")
    plant(outside, "log")

    def exchange() -> None:
        (root / "log").unlink()
        (root / "log").symlink_to(outside / "log")

    sweep(root, opened=Holder(exchange), if_open="truncate")
    assert (outside / "log").stat().st_size == 10


def test_a_file_that_gets_a_second_name_at_the_last_moment_is_not_emptied(tmp_path: Path) -> None:
    plant(tmp_path, "root/log")
    with Root(tmp_path / "root", {}) as root:
        seen = root.top.look("log")
        (tmp_path / "outside").hardlink_to(tmp_path / "root/log")
        with pytest.raises(Left, match="exchanged or changed"):
            _truncate(root, root.top, Found("log", seen), act=True)
    assert (tmp_path / "outside").stat().st_size == 10


def test_a_thread_that_swaps_directories_for_links_gains_nothing(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    plant(outside, *(f"f{number}" for number in range(20)), "sub/f1", size=100)
    before = portrait(outside)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            with suppress(OSError):
                (root / "d").rename(root / "e")
                (root / "d").symlink_to(outside)
                (root / "d").unlink()
                (root / "e").rename(root / "d")

    thread = threading.Thread(target=swap)
    plant(root, "d/x")
    thread.start()
    gone = 0
    try:
        for _ in range(RACES):
            for number in range(20):
                with suppress(OSError):
                    place = os.open(root / "d", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                    with suppress(OSError):
                        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY, dir_fd=place))
                    os.close(place)
            gone += sweep(root, empty_directories=False).files
    finally:
        done.set()
        thread.join()
    assert portrait(outside) == before
    assert gone > 0


def test_the_root_may_not_be_reached_over_a_link(tmp_path: Path) -> None:
    plant(tmp_path, "real/in/a")
    (tmp_path / "alias").symlink_to("real")
    for path in (tmp_path / "alias", tmp_path / "alias/in"):
        with pytest.raises(MainstayError, match="is a link"):
            sweep(path)
    assert left(tmp_path / "real") == {"in/a"}


def test_protected_directories_are_refused_however_they_are_reached(tmp_path: Path) -> None:
    home = tmp_path / "state"
    plant(home, "inner/journal.db")
    alias = tmp_path / "alias"
    alias.symlink_to(home)
    for named, path in ((home, home), (home, tmp_path), (home, home / "inner"), (alias, home)):
        with pytest.raises(MainstayError, match="mainstay's own directory"):
            sweep(path, protected={named: "mainstay's own directory"})
    assert left(home) == {"inner/journal.db"}


@needs_root
def test_a_protected_directory_is_known_under_another_name(tmp_path: Path) -> None:
    home, other = tmp_path / "state", tmp_path / "other"
    plant(home, "journal.db")
    other.mkdir()
    with mounted(home, other, "--bind"), pytest.raises(Left, match="mainstay's own"):
        sweep(other, protected={home: "mainstay's own directory"})
    assert left(home) == {"journal.db"}


def test_a_server_s_data_is_never_entered(tmp_path: Path) -> None:
    plant(tmp_path, "old/db/PG_VERSION", "old/db/base/1", "old/note")
    tally = sweep(tmp_path, empty_directories=True)
    assert left(tmp_path) == {"old/db/PG_VERSION", "old/db/base/1"}
    assert tally.left == {"it belongs to a PostgreSQL server": 1}
    assert sweep(tmp_path / "old", what="directories").directories == 0


@needs_root
@pytest.mark.parametrize("what", ["files", "directories"])
def test_other_mounts_are_not_entered_even_of_the_same_file_system(tmp_path: Path, what: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    plant(root, "d/mount/x", "d/file")
    plant(outside, "treasure")
    with mounted(outside, root / "d/mount", "--bind"):
        tally = sweep(root, what=what, empty_directories=True)
    assert left(outside) == {"treasure"}
    assert "another file system is mounted there" in tally.left
    assert (root / "d/file").exists() == (what == "directories")
