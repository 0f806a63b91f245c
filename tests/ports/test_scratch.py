"""Scratch directories: private, gone afterwards, swept after death, never taken from the living."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay.core.errors import MainstayError
from mainstay.ports.scratch import Scratch, claim, seize, short_root
from tests.helpers import eventually

OWNER = """
import sys, time
from pathlib import Path
from mainstay.ports.scratch import Scratch
with Scratch(Path(sys.argv[1])).workspace() as space:
    (space.path / "data").write_text("x")
    (space.beside(Path(sys.argv[2])) / "more").write_text("y")
    print("ready", flush=True)
    sys.stdin.read()
"""


def owner(root: Path, beside: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root), str(beside)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_workspace_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with Scratch(tmp_path / "scratch").workspace() as space:
        assert oct(space.path.stat().st_mode)[-3:] == "700"
        (space.path / "folder").mkdir()
        second = space.beside(tmp_path)
        assert oct(second.stat().st_mode)[-3:] == "700"
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not second.exists()


def test_it_is_gone_after_an_exception_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Scratch(tmp_path).workspace():
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_living_keep_theirs_even_when_they_are_stopped(tmp_path: Path) -> None:
    process = owner(tmp_path / "scratch", tmp_path)
    process.send_signal(signal.SIGSTOP)
    scratch = Scratch(tmp_path / "scratch")
    assert scratch.sweep() == 0
    process.send_signal(signal.SIGCONT)
    process.communicate("")
    assert process.returncode == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_the_dead_left_is_swept_with_everything_beside_it(tmp_path: Path) -> None:
    process = owner(tmp_path / "scratch", tmp_path)
    process.kill()
    process.communicate()
    scratch = Scratch(tmp_path / "scratch")
    seen: list[Path] = []
    assert len(list(tmp_path.glob("mainstay-*"))) == 1
    assert scratch.sweep(seen.append) == 1
    assert len(seen) == 2
    assert list((tmp_path / "scratch").iterdir()) == []
    assert list(tmp_path.glob("mainstay-*")) == []
    assert scratch.sweep() == 0


def test_a_mark_that_was_damaged_names_nothing_else(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "mainstay-0123.lock").write_text(f'["{precious}"]')
    (tmp_path / "mainstay-4567.lock").write_text("not json")
    assert Scratch(tmp_path).sweep() == 2
    assert precious.exists()


def test_nothing_to_sweep(tmp_path: Path) -> None:
    assert Scratch(tmp_path / "nowhere").sweep() == 0


def test_a_file_belongs_to_one(tmp_path: Path) -> None:
    first = claim(tmp_path / "x")
    assert first is not None
    assert claim(tmp_path / "x") is None
    assert seize(tmp_path / "x") is None
    os.close(first)
    second = seize(tmp_path / "x")
    assert second is not None
    os.close(second)
    assert seize(tmp_path / "nothing") is None


def test_a_lock_is_not_inherited(tmp_path: Path) -> None:
    lock = claim(tmp_path / "x")
    assert lock is not None
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    )
    os.close(lock)
    taken = eventually(lambda: seize(tmp_path / "x"))
    os.close(taken)  # type: ignore[arg-type]
    child.communicate(b"")


def test_no_place_for_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(MainstayError, match="cannot make a scratch directory"),
        Scratch(tmp_path / "file").workspace(),
    ):
        pass


def test_sockets_fit_below_the_short_root() -> None:
    assert len(str(short_root())) <= 40
