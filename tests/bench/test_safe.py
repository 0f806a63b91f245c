"""The bench of backups: what it sees of a process, how it compares, that a flipped bit is flipped back."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.backup import Figures, flipped, rows_of
from bench.safe.watcher import Watcher, on_disk, tree
from tests.helpers import eventually

HUNGRY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'b = bytearray(64 << 20); input()'])"


def test_memory_is_that_of_all_that_a_process_started() -> None:
    with subprocess.Popen([sys.executable, "-c", HUNGRY], stdin=subprocess.PIPE) as process:
        try:
            eventually(lambda: len(tree(process.pid)) == 2)
            watcher = Watcher(process.pid)
            with watcher:
                eventually(lambda: watcher.memory > 64 << 20)
            assert watcher.memory < 256 << 20
        finally:
            process.communicate(b"\n")
    assert tree(process.pid) == []


def test_files_count_for_what_they_take_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    with (tmp_path / "hole").open("wb") as sparse:
        sparse.truncate(1 << 30)
    assert 100_000 <= on_disk(tmp_path) < 200_000
    with Watcher(1, tmp_path) as watcher:
        eventually(lambda: watcher.disk >= 100_000)


def test_a_flipped_bit_is_flipped_back(tmp_path: Path) -> None:
    file = tmp_path / "archive"
    file.write_bytes(bytes(1000))
    with flipped(file, random.Random(1)):
        assert sum(byte.bit_count() for byte in file.read_bytes()) == 1
    assert file.read_bytes() == bytes(1000)


def test_ratios_are_those_of_neighbours() -> None:
    took = {"bare": [10.0, 100.0, 10.0], "take": [12.0, 130.0, 11.0], "prove": [20.0, 250.0, 20.0]}
    laps = {"download": 1.0, "restore": 14.0, "compare": 5.0}
    ours = {
        what: [{"seconds": each, "bytes": 8e6, "memory": 1e8, "disk": 0, "laps": laps} for each in seconds]
        for what, seconds in took.items()
    }
    script = [(30.0, 10**7), (300.0, 10**7), (30.0, 10**7)]
    rows = {row.trial: row.ours for row in rows_of(Figures(ours, script), 2 * 10**9)}
    assert rows["seconds_vs_peer"] == pytest.approx(0.4)
    assert rows["checksums_on_top"] == pytest.approx(1.2)
    assert rows["proof"] == pytest.approx(2.0)
    assert (rows["stored_vs_peer"], rows["memory"], rows["temporary_disk"]) == (0.8, 100.0, 0.0)
    assert rows["restore_4gb"] == pytest.approx(30.0)
