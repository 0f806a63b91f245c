"""Root keeps its hands off another account's state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mainstay.app.ownership import alone, own
from mainstay.core.errors import ConfigError, MainstayError
from tests.helpers import mainstay

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


def test_a_directory_that_is_not_there_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    own(tmp_path / "a" / "state")
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made or entered: Not a directory"):
        own(tmp_path / "file" / "state")


def test_only_one_at_a_time(tmp_path: Path) -> None:
    running = f"runs already with .*: process {os.getpid()}"
    with alone(tmp_path), pytest.raises(MainstayError, match=running), alone(tmp_path):
        raise AssertionError("two at once")
    with alone(tmp_path):
        pass


@AS_ROOT
@pytest.mark.parametrize(("uid", "name"), [(65534, "nobody"), (54321, "#54321")])
def test_root_is_sent_to_the_account_whose_it_is(tmp_path: Path, uid: int, name: str) -> None:
    os.chown(tmp_path, uid, -1)
    with pytest.raises(ConfigError, match=f"belongs to {name}") as raised:
        own(tmp_path)
    assert raised.value.hint == f"sudo -u {name} mainstay ..."


@AS_ROOT
@pytest.mark.parametrize("words", [("up",), ("run", "journal_backup"), ("doctor",)])
def test_no_command_leaves_a_file_of_root_there(tmp_path: Path, words: tuple[str, ...]) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, -1)
    (tmp_path / "mainstay.yaml").write_text("name: example\nstate_dir: state\n")
    done = mainstay(*words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "sudo -u nobody" in done.stdout + done.stderr
    assert list(state.iterdir()) == []
