"""A watching process that is really stopped in the middle of its questions, as by a paused virtual machine, and one
whose machine has really lost its network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.helpers import ROOT, eventually
from tests.servers.recorder import Recorder

STOPPED = 3.0
"""Seconds of the pause: longer than the time-out, so that every question in flight would fail."""


class Watcher:
    """The process, and what it has said so far: `[check, verdict, confirmed, detail]`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[list[Any]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    @property
    def bad(self) -> list[list[Any]]:
        return [each for each in self.said if each[1] != "ok"]


@contextmanager
def watcher(*prefix: str, **plan: Any) -> Iterator[Watcher]:
    argv = [*prefix, sys.executable, "-m", "tests.engine.watching"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan))
    process.stdin.close()
    try:
        yield Watcher(process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def paused(recorder: Recorder, stall: float) -> Watcher:
    """Stop a watcher of ten slow pages while it waits for them, and let it go on."""
    recorder.answer(200, b"ok", delay=0.4)
    checks = [{"url": f"{recorder.url}/{number}", "every": 0.5, "timeout": 1.5} for number in range(10)]
    with watcher(checks=checks, stall=stall) as watching:
        eventually(lambda: len(watching.said) > 20, 30.0)
        asked = len(recorder.requests)
        eventually(lambda: len(recorder.requests) > asked)
        watching.process.send_signal(signal.SIGSTOP)
        resume_at = time.monotonic() + STOPPED
        eventually(lambda: time.monotonic() > resume_at, STOPPED * 2)
        before = len(watching.said)
        watching.process.send_signal(signal.SIGCONT)
        eventually(lambda: len(watching.said) > before + 40, 30.0)
    return watching


@pytest.mark.slow
def test_a_stopped_process_fails_nobody(recorder: Recorder) -> None:
    assert paused(recorder, stall=0.5).bad == []


@pytest.mark.slow
def test_without_the_guard_it_would(recorder: Recorder) -> None:
    """The control: the very same pause, with a stall that is never noticed."""
    bad = paused(recorder, stall=1e9).bad
    assert any(verdict == "fail" and "timed out" in detail for _, verdict, _, detail in bad)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs to be root, and unshare(1)"
)
def test_a_machine_without_a_network_blames_no_service() -> None:
    checks = [{"url": f"http://192.0.2.{number}/", "every": 1} for number in range(1, 6)]
    checks.append({"url": "http://erp.example.com/", "every": 1})
    with watcher("unshare", "-n", checks=checks, stall=0.5) as watching:
        eventually(lambda: len({each[0] for each in watching.said}) == len(checks), 30.0)
        eventually(lambda: any(each[2] for each in watching.said), 30.0)
    assert {verdict for _, verdict, _, _ in watching.said} == {"unknown"}
    details = " ".join(detail for _, _, _, detail in watching.said)
    assert "no route leads there from this machine" in details
    assert "the name server gave no answer for erp.example.com" in details
