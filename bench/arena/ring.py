"""Programs that stand on one core, and what they spend there."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.peers import Running
from tests.helpers import bare_environment
from tests.servers.process import LOOPBACK, SBIN, Engine, accepts, free_port
from tools import compiled

TICK = 1_000_000 / os.sysconf("SC_CLK_TCK")
"""Microseconds of a tick."""
ROOT = Path(__file__).parent.parent.parent


def cores() -> tuple[str, str]:
    """The core of whoever is measured, and that of the load and of origins; the same where there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return str(mine[0]), str(mine[-1])


def pinned(core: str, argv: Sequence[str]) -> list[str]:
    """A command that may use one core only, with all that it starts."""
    return ["taskset", "--cpu-list", core, *argv]


def found(name: str) -> str | None:
    """Where a program is, also one of the environment that we run in."""
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), *SBIN]
    return shutil.which(name, path=os.pathsep.join(paths))


class Contestant(Running):
    """A program on the core of the measured."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def launch(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, core: str | None = None
    ) -> None:
        """Start it in its own directory and wait until it listens."""
        path = os.pathsep.join([str(compiled.tree()), str(ROOT)])
        environment = bare_environment() | {"PYTHONPATH": path, **(env or {})}
        self.engine = Engine(
            pinned(core or cores()[0], argv), self.base / "log", env=environment, cwd=self.base
        )
        self.ready(lambda: accepts(self.port))

    def beside(self, other: Contestant, module: str, *arguments: str, env: Mapping[str, str]) -> None:
        """Start a module of ours in another one's directory. It listens nowhere."""
        path = os.pathsep.join([str(compiled.tree()), str(ROOT)])
        environment = bare_environment() | {"PYTHONPATH": path, **env}
        argv = pinned(cores()[0], [sys.executable, "-m", module, *arguments])
        self.engine = Engine(argv, self.base / "log", env=environment, cwd=other.base)

    def __exit__(self, *ending: Any) -> None:
        """End it, and whatever it started and did not wait for."""
        if self.engine is not None:
            self.engine.stop()
            for pid in family(self.engine.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        super().__exit__(*ending)

    def python(self, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Start a module of ours."""
        self.launch([sys.executable, "-m", module, *arguments], env)


class Team(list[Contestant]):
    """Programs that do the work together; requests go to the first."""

    @property
    def port(self) -> int:
        return self[0].port

    def spent(self) -> float:
        """Microseconds of processor time so far, in all processes and threads, and in children that have ended."""
        return sum(microseconds(each.pid) for each in self)

    def parts(self) -> list[float]:
        """The same for each of them."""
        return [microseconds(each.pid) for each in self]

    def loop(self) -> float:
        """Microseconds of the main thread of the first: where its event loop is."""
        return threads(self[0].pid).get(self[0].pid, 0.0)

    def kernel(self) -> float:
        """Microseconds in the kernel, in ticks."""
        return sum(int(stat(pid)[12]) * TICK for each in self for pid in family(each.pid))

    def memory(self) -> float:
        """Megabytes held now."""
        return sum(each.memory() for each in self)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The first of them works, the others stand still for as long as the block lasts."""
        others = [pid for each in self[1:] for pid in family(each.pid)]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End them all, those first who work in the directory of another."""
        for each in reversed(self):
            each.__exit__(None, None, None)


Maker = Callable[[], Team | None]
"""Starts somebody; None when a program is missing."""


def family(session: int) -> Iterator[int]:
    """The processes of a session that are alive."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat(int(entry.name))) and int(fields[3]) == session:
            yield int(entry.name)


def stat(pid: int) -> list[str]:
    """What /proc says of a process from its state on; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def microseconds(session: int) -> float:
    """Processor time of a session: exact for threads that live, in ticks for children that have been waited for."""
    total = 0.0
    for pid in family(session):
        total += sum(threads(pid).values())
        if fields := stat(pid):
            total += (int(fields[13]) + int(fields[14])) * TICK
    return total


def threads(pid: int) -> dict[int, float]:
    """Microseconds of processor time by thread."""
    used: dict[int, float] = {}
    try:
        for entry in Path(f"/proc/{pid}/task").iterdir():
            used[int(entry.name)] = int((entry / "schedstat").read_text().split()[0]) / 1000
    except OSError:
        pass
    return used
