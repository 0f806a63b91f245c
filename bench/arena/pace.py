"""A steady thousand a second: requests at random moments (Poisson), whether or not earlier ones were answered.

Runs in a process of its own, `python -m bench.arena.pace PORT RATE SECONDS FILE SOURCE`, where FILE holds the requests
in JSON and SOURCE is the address that they come from; prints each request's milliseconds in JSON. What one waits for a
free connection counts.
"""

from __future__ import annotations

import gc
import json
import random
import select
import socket
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, quantiles
from tempfile import NamedTemporaryFile

from bench.arena.ring import Team, cores, pinned
from tests.helpers import bare_environment
from tests.servers.process import LOOPBACK

RATE = 1000
CONNECTIONS = 64
WARM = 200
"""Requests that are not counted: they open the connections and warm caches."""


@dataclass(frozen=True)
class Calm:
    """Milliseconds of the requests of one window."""

    mean: float
    p99: float


def steady(
    team: Team,
    seconds: float,
    requests: Sequence[bytes],
    path: Path,
    rate: int = RATE,
    source: str = LOOPBACK,
) -> Calm:
    """Ask at a steady pace for so long; the requests are sent in turn, each at most once when there are enough."""
    with NamedTemporaryFile("w", dir=path) as file:
        json.dump([b64encode(each).decode() for each in requests], file)
        file.flush()
        argv = [
            sys.executable,
            "-m",
            "bench.arena.pace",
            str(team.port),
            str(rate),
            str(seconds),
            file.name,
            source,
        ]
        told = subprocess.run(
            pinned(cores()[1], argv), check=True, stdout=subprocess.PIPE, env=bare_environment(), text=True
        ).stdout
    waits = json.loads(told)
    return Calm(fmean(waits), quantiles(waits, n=100)[98])


@dataclass
class Line:
    """A connection with at most one request under way."""

    socket: socket.socket
    since: float = 0.0
    heard: bytearray = field(default_factory=bytearray)

    def answered(self) -> bool:
        """Read; whether the answer is whole. Raises when it is not a good one."""
        piece = self.socket.recv(1 << 18)
        assert piece, "the connection was closed"
        self.heard += piece
        head = self.heard.find(b"\r\n\r\n")
        if head < 0:
            return False
        assert self.heard.startswith(b"HTTP/1.1 20"), bytes(self.heard[:200])
        if len(self.heard) < head + 4 + length(bytes(self.heard[: head + 2]).lower()):
            return False
        self.heard.clear()
        return True


def length(head: bytes) -> int:
    """The length of an answer's body."""
    return int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])


class Pace:
    """The pool of connections and what waits for one."""

    def __init__(self, port: int, requests: Sequence[bytes], source: str = LOOPBACK) -> None:
        self.requests = requests
        self.sent = 0
        self.idle = [Line(dial(port, source)) for _ in range(CONNECTIONS)]
        self.busy: dict[socket.socket, Line] = {}
        self.waiting: deque[float] = deque()
        self.waits: list[float] = []

    def send(self, since: float) -> None:
        line = self.idle.pop()
        line.since = since
        self.busy[line.socket] = line
        line.socket.sendall(self.requests[self.sent % len(self.requests)])
        self.sent += 1

    def listen(self, patience: float) -> None:
        """Take answers for at most so many seconds."""
        ready, _, _ = select.select(list(self.busy), (), (), max(patience, 0.0))
        for each in ready:
            line = self.busy[each]
            if line.answered():
                self.waits.append(1000 * (time.perf_counter() - line.since))
                del self.busy[each]
                self.idle.append(line)

    def run(self, rate: float, seconds: float) -> list[float]:
        """Milliseconds of every request but the first ones."""
        chance = random.Random(7)
        due = began = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds or self.busy:
            if now >= due and now < began + seconds:
                self.waiting.append(now)
                due += chance.expovariate(rate)
            while self.waiting and self.idle:
                self.send(self.waiting.popleft())
            self.listen(min(due, began + seconds + 5) - time.perf_counter())
        return self.waits[WARM:]


def dial(port: int, source: str) -> socket.socket:
    made = socket.create_connection((LOOPBACK, port), source_address=(source, 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def main(port: str, rate: str, seconds: str, file: str, source: str) -> None:
    requests = [b64decode(each) for each in json.loads(Path(file).read_text())]
    gc.disable()
    print(json.dumps(Pace(int(port), requests, source).run(float(rate), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
