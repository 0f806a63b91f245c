"""What one process counts another can read, whatever became of the first."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay.edge.http.meter import CELLS, FRESH, NAMES_AT, SIZE, Family, Meter, read

SEEN = Family("seen", "Seen.", ("what",))
NOW = Family("now", "Now.", kind="gauge")
TOOK = Family("took", "Took.", ("what",), kind="histogram", bounds=(0.1, 1.0))
CHILD = """
import sys
from pathlib import Path
from tests.edge.http.test_meter import NOW, SEEN
from mainstay.edge.http.meter import Meter
meter = Meter(Path(sys.argv[1]))
meter.beat(1000.0)
meter.cell(SEEN, "a").add(7)
meter.cell(NOW).set(5)
meter.beat(1000.0)
meter.cell(SEEN, "a").add(100)
print("there", flush=True)
sys.stdin.read()
"""


def test_numbers_of_all_processes_are_added(tmp_path: Path) -> None:
    one, two = Meter(tmp_path), Meter(tmp_path)
    for meter, amount in ((one, 2), (two, 3)):
        meter.beat(1000.0)
        meter.cell(SEEN, "a").add(amount)
        meter.cell(SEEN, "b").add()
        meter.cell(NOW).set(amount)
        for seconds in (0.05, 0.1, 0.5, 7):
            meter.histogram(TOOK, "x").observe(seconds)
        meter.beat(1000.0)
    found = read(tmp_path, 1000.0)
    assert found["seen_total", ("a",)] == 5
    assert found["seen_total", ("b",)] == 2
    assert found["now", ()] == 5
    assert [found["took_bucket", ("x", bound)] for bound in ("0.1", "1", "+Inf")] == [4, 2, 2]
    assert found["took_sum", ("x",)] == pytest.approx(15.3)
    one.cell(SEEN, "b").add()
    one.close()
    assert read(tmp_path, 1000.0)["now", ()] == 3
    assert read(tmp_path, 1000.0)["seen_total", ("b",)] == 3
    assert read(tmp_path, 1000.0)["seen_total", ("a",)] == 5
    assert ("now", ()) not in read(tmp_path, 1000.0 + FRESH)
    two.close()


def test_a_process_that_is_killed_leaves_what_it_counted_until_its_last_beat_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        assert read(tmp_path, 1001.0)["now", ()] == 5
        os.kill(child.pid, signal.SIGKILL)
    assert read(tmp_path, 1020.0) == {("seen_total", ("a",)): 7}
    meter = Meter(tmp_path)
    meter.beat(1020.0)
    meter.cell(SEEN, "a").add()
    assert meter.cell(SEEN, "a").value == 8
    assert meter.cell(NOW).value == 0
    meter.flush()
    assert read(tmp_path, 1020.0)["seen_total", ("a",)] == 8
    assert len(list(tmp_path.iterdir())) == 1
    meter.close()


CUT = """
import sys
from pathlib import Path
from tests.edge.http.test_meter import SEEN
from mainstay.edge.http.meter import Meter
meter = Meter(Path(sys.argv[1]))
for name in sys.argv[2:]:
    meter.cell(SEEN, name).add(7)
meter.close()
"""


@pytest.mark.parametrize("kept", [0, 4096])
def test_names_that_were_lost_with_the_power_keep_nobody_from_counting(tmp_path: Path, kept: int) -> None:
    """The kernel writes the pages of a mapped file in any order: the head may speak of names that never came."""
    given = [f"{number:0100}" for number in range(100)]
    subprocess.run([sys.executable, "-c", CUT, str(tmp_path), *given], check=True)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[NAMES_AT + kept :] = bytes(SIZE - NAMES_AT - kept)
    file.write_bytes(content)
    whole = read(tmp_path, 1000.0)
    assert whole == {("seen_total", (name,)): 7 for name in given[: len(whole)]}
    assert (len(whole) > 0) == (kept > 0)
    meter = Meter(tmp_path)
    meter.cell(SEEN, given[-1]).add()
    meter.flush()
    assert read(tmp_path, 1000.0) == {**whole, ("seen_total", (given[-1],)): 1}
    meter.close()


def test_more_names_than_there_is_room_for_harm_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    meter = Meter(tmp_path)
    for number in range(CELLS + 10):
        meter.cell(SEEN, str(number)).add()
    meter.histogram(TOOK, "late").observe(1)
    meter.flush()
    found = read(tmp_path, 0.0)
    assert len(found) == CELLS - 1
    assert set(found.values()) == {1.0}
    assert "no room" in caplog.text
    meter.close()


def test_without_a_disk_it_counts_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: int, at: int, size: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    meter = Meter(tmp_path)
    cell = meter.cell(SEEN, "a")
    cell.add()
    assert cell.value == 1
    assert "No space left" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING
    assert read(tmp_path, 0.0) == {}


@pytest.mark.parametrize("content", [b"", b"x" * SIZE, b"mainmtr1" + b"\xff" * (SIZE - 8)])
def test_a_file_that_is_none_of_ours_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "edge-9.meter").write_bytes(content)
    assert read(tmp_path, 0.0) == {}
    assert read(tmp_path / "nowhere", 0.0) == {}
