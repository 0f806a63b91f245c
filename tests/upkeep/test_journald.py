"""systemd's journal, written by a real journald in a namespace of its own and cleaned up by the real journalctl."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from mainstay.core.errors import MainstayError
from mainstay.upkeep.cleanup.job import CleanupTempFiles
from mainstay.upkeep.cleanup.journald import JournaldRule, occupied, vacuum
from tests.helpers import eventually
from tests.servers.process import program
from tests.upkeep.broom import needs_root
from tests.upkeep.house import job_of

DAEMON = "/lib/systemd/systemd-journald"
# Its own /run, so that it neither hears nor writes anything of this machine; the files land in a directory of ours.
SCRIPT = f"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
mount --bind "$1" /run/log/journal
mount -t tmpfs tmpfs /var/log
exec {DAEMON}
"""


def archived(place: Path) -> list[Path]:
    return sorted(place.rglob("system@*.journal"))


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """A directory with three archived files of a journal and the one that is being written."""
    if not Path(DAEMON).exists():
        program("systemd-journald", "systemd")
    place = tmp_path / "journal"
    place.mkdir()
    daemon = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(place)], stderr=subprocess.DEVNULL
    )
    address = Path(f"/proc/{daemon.pid}/root/run/systemd/journal/socket")
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        eventually(lambda: sender.connect_ex(str(address)) == 0)
        for rotation in range(1, 4):
            for _ in range(300):
                sender.send(b"MESSAGE=hello\nNOISE=" + os.urandom(3000).hex().encode() + b"\n")
            daemon.send_signal(signal.SIGUSR2)
            eventually(lambda many=rotation: len(archived(place)) >= many)  # type: ignore[misc]
    finally:
        sender.close()
        daemon.terminate()  # it still shortens what it has archived; when it has ended the files are as they stay
        daemon.wait(20)
    return next(place.iterdir())


@needs_root
async def test_archived_files_go_and_what_came_free_is_measured(journals: Path) -> None:
    files = archived(journals)
    sizes = {path: path.stat().st_blocks * 512 for path in files}
    before = occupied((journals,))
    rule = JournaldRule.model_validate(
        {"directory": journals, "max_size": max(sizes.values()), "max_age": None}
    )
    assert await vacuum(rule, act=False) == before
    assert archived(journals) == files
    freed = await vacuum(rule, act=True)
    gone = [path for path in files if not path.exists()]
    assert freed == sum(sizes[path] for path in gone) > 0
    assert gone == files[: len(gone)]
    assert (journals / "system.journal").exists()


@needs_root
async def test_what_is_young_enough_stays(journals: Path) -> None:
    rule = JournaldRule.model_validate({"directory": journals, "max_age": "1d"})
    assert await vacuum(rule, act=True) == 0
    assert len(archived(journals)) >= 3


async def test_a_program_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    program("journalctl", "systemd")
    rule = JournaldRule.model_validate({"directory": tmp_path / "nowhere", "max_size": "1MB"})
    with pytest.raises(MainstayError, match=r"journalctl could not clean up: .*nowhere"):
        await vacuum(rule, act=True)


def test_a_rule_without_limits_is_refused() -> None:
    with pytest.raises(ValueError, match="says nothing"):
        job_of(CleanupTempFiles, journald={"max_age": None})
