"""Full load: `wrk` on the other core, 64 connections that each ask again as soon as they were answered."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.arena.ring import Team, cores, pinned
from tests.servers.process import LOOPBACK

CONNECTIONS = 64
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    """What one window gave."""

    requests: int
    seconds: float
    p50: float
    """Milliseconds."""
    p99: float
    spent: float
    """Microseconds of processor time of the measured."""
    loop: float
    """The part of it in the main thread of the first process."""
    kernel: float
    """The part of it in the kernel."""
    beside: float = 0.0
    """The part of it in the other processes than the first."""

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of processor time for each request."""
        return self.spent / max(1, self.requests)


def storm(team: Team, seconds: int, script: str, arguments: Sequence[str], path: str = "/") -> Load:
    """Load for so many whole seconds. An answer that is none, or no good one, is a fault of the bench and raises."""
    before = team.spent(), team.loop(), team.kernel()
    answer = _run(f"http://{LOOPBACK}:{team.port}{path}", seconds, script, arguments)
    after = team.spent(), team.loop(), team.kernel()
    parts = [end - start for start, end in zip(before, after, strict=True)]
    faults = {name: count for name, count in answer["errors"].items() if count}
    assert not faults, (
        f"{faults} among {answer['requests']} requests: {team[0].engine and team[0].engine.said()[-2000:]}"
    )
    return Load(answer["requests"], answer["seconds"], answer["p50"], answer["p99"], *parts)


@contextmanager
def flood(team: Team, seconds: int, script: str, arguments: Sequence[str], path: str) -> Iterator[None]:
    """Load of requests that are all to be refused, for so many seconds at most and as long as the block lasts."""
    argv = _argv(f"http://{LOOPBACK}:{team.port}{path}", seconds, script, arguments)
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        assert running.poll() is None, "the flood was over before the measurement"
        running.send_signal(signal.SIGINT)  # it tells what it has done
        told = _told(running.communicate()[0])
    finally:
        running.kill()
        running.wait()
    assert told["requests"] == told["errors"]["status"] > 0, f"not all were refused: {told}"


def _run(url: str, seconds: int, script: str, arguments: Sequence[str]) -> dict[str, Any]:
    argv = _argv(url, seconds, script, arguments)
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return _told(done.stdout)


def _argv(url: str, seconds: int, script: str, arguments: Sequence[str]) -> list[str]:
    argv = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(HERE / script),
        url,
    ]
    return pinned(cores()[1], [*argv, "--", *arguments])


def _told(said: str) -> dict[str, Any]:
    _, mark, told = said.partition("RESULT ")
    if not mark:
        raise RuntimeError(f"wrk failed: {said[-2000:]}")
    result: dict[str, Any] = json.loads(told.splitlines()[0])
    return result
