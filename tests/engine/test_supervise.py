"""The supervisor, as a process, with real children: restarts, order at the end, and no orphan whatever happens."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mainstay.engine import supervise
from mainstay.engine.supervise import FIRST_PAUSE, Supervisor
from mainstay.ports.clock import SystemClock
from tests.helpers import ROOT, aeventually, bare_environment, eventually
from tests.servers.process import Engine

# Both write a line at once: unbuffered, `print` writes its parts one by one, and two processes share the log.
PARENT = """
import asyncio, logging, sys, json
from mainstay.engine.supervise import Supervisor
from mainstay.ports.clock import SystemClock
logging.basicConfig(level=logging.INFO)
children = json.loads(sys.argv[1])
def heard(name, line): print(f"heard {name} {line[:40]}\\n", end="", flush=True)
asyncio.run(Supervisor(SystemClock(), children, grace=float(sys.argv[2]), heard=heard).serve())
print("all ended", flush=True)
"""
CHILD = """
import os, signal, sys, threading
from mainstay.engine.supervise import follow
from mainstay.engine.pulse import speaker
name = sys.argv[1]
stubborn = "stubborn" in sys.argv
stop = threading.Event()
def say(word): print(f"{word} {name} {os.getpid()}\\n", end="", flush=True)
def end(number, frame):
    say(signal.Signals(number).name)
    if not stubborn: stop.set()
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGHUP, lambda number, frame: say("SIGHUP"))
follow(grace=1.0)
speak = speaker()
speak("fine\\nand well")
if "talks" in sys.argv:
    for _ in range(2000): speak("x" * 400)
say("up")
if "falls" in sys.argv: sys.exit(3)
while not stop.wait(0.05): pass
say("bye")
"""


@contextmanager
def family(
    directory: Path, *names: str, grace: float = 20, env: dict[str, str] | None = None
) -> Iterator[Engine]:
    argv = {name: [sys.executable, "-c", CHILD, *name.split()] for name in names}
    parent = Engine(
        [sys.executable, "-c", PARENT, json.dumps(argv), str(grace)],
        directory / "log",
        env=bare_environment(PYTHONPATH=str(ROOT), **(env or {})),
    )
    try:
        yield parent
    finally:
        parent.kill()
        for pid in re.findall(r"^up \w+ (\d+)$", parent.said(), re.MULTILINE):
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def pids(parent: Engine, name: str, word: str = "up") -> list[int]:
    lines = [line.split() for line in parent.said().splitlines()]
    return [int(line[2]) for line in lines if line[:2] == [word, name] and len(line) == 3]


def pid_of(parent: Engine, name: str, times: int = 1, word: str = "up") -> int:
    eventually(lambda: len(pids(parent, name, word)) >= times, 20)
    return pids(parent, name, word)[times - 1]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_fallen_process_is_started_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    with family(tmp_path, "agent", "web") as parent:
        agent, web = pid_of(parent, "agent"), pid_of(parent, "web")
        os.kill(agent, signal.SIGKILL)
        assert pid_of(parent, "agent", 2) != agent
        assert pids(parent, "web") == [web]
        assert alive(web)
        assert "agent was ended by SIGKILL; again in 0.2 s" in parent.said()


def test_one_that_keeps_falling_is_started_more_and_more_seldom(tmp_path: Path) -> None:
    with family(tmp_path, "agent falls") as parent:
        eventually(lambda: parent.said().count("ended with exit code 3; again") >= 3, 30)
        pauses = [line.rsplit(" ", 2)[1] for line in parent.said().splitlines() if "again in" in line]
        assert pauses[:3] == [f"{FIRST_PAUSE * 2**n:.1f}" for n in range(3)]


def test_sigterm_ends_all_in_order_and_sighup_is_passed_on(tmp_path: Path) -> None:
    with family(tmp_path, "agent", "web") as parent:
        children = [pid_of(parent, "agent"), pid_of(parent, "web")]
        os.kill(parent.pid, signal.SIGHUP)
        assert [pid_of(parent, name, word="SIGHUP") for name in ("agent", "web")] == children
        os.kill(parent.pid, signal.SIGTERM)
        assert parent.process.wait(20) == 0
        assert [pids(parent, name, "bye") for name in ("agent", "web")] == [[pid] for pid in children]
        assert not any(alive(pid) for pid in children)


async def test_what_a_changed_file_asks_for_is_started_too(tmp_path: Path) -> None:
    wanted = {"one": ["sleep", "60"]}
    supervisor = Supervisor(SystemClock(), wanted, wanted=lambda: wanted)
    serving = asyncio.create_task(supervisor.serve())
    await aeventually(lambda: "one" in supervisor.running)
    first = supervisor.running["one"].pid
    wanted = {"two": ["sleep", "60"]}
    os.kill(os.getpid(), signal.SIGHUP)
    await aeventually(lambda: "two" in supervisor.running)
    again = await aeventually(lambda: "one" in supervisor.running and supervisor.running["one"].pid != first)
    assert again  # SIGHUP ends a `sleep`, which is started anew
    supervisor.stop()
    await asyncio.wait_for(serving, 20)
    assert supervisor.running == {}


def test_one_that_will_not_end_is_killed_after_the_grace(tmp_path: Path) -> None:
    with family(tmp_path, "agent stubborn", grace=0.3) as parent:
        child = pid_of(parent, "agent")
        os.kill(parent.pid, signal.SIGTERM)
        assert parent.process.wait(20) == 0
        assert not alive(child)
        assert "is killed" in parent.said()


@pytest.mark.parametrize("name", ["agent", "agent stubborn"])
def test_no_child_outlives_a_killed_supervisor(tmp_path: Path, name: str) -> None:
    with family(tmp_path, name, "web") as parent:
        children = [pid_of(parent, "agent"), pid_of(parent, "web")]
        parent.kill()
        eventually(lambda: not any(alive(pid) for pid in children), 20)
        assert pids(parent, "web", "SIGTERM") == children[1:]


def test_a_program_that_is_not_there_is_told_and_tried_again(tmp_path: Path) -> None:
    code = PARENT.replace("json.loads(sys.argv[1])", "{'agent': ['/nonexistent/program']}")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code, "", "1"], stderr=log, stdout=log)
    try:
        eventually(lambda: (tmp_path / "log").read_text().count("did not start; again in") >= 2)
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert "agent cannot be started: [Errno 2]" in (tmp_path / "log").read_text()


def test_systemd_is_told_of_life_and_of_the_end(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(20)
        env = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "100000"}
        with family(tmp_path, "agent", env=env) as parent:
            child = pid_of(parent, "agent")
            environment = Path(f"/proc/{child}/environ").read_text()
            heard = {listener.recv(100).decode() for _ in range(4)}
            assert heard == {"READY=1", "WATCHDOG=1"}
            assert "NOTIFY_SOCKET" not in environment
            os.kill(parent.pid, signal.SIGTERM)
            while listener.recv(100) != b"STOPPING=1":
                pass


def test_nobody_is_told_when_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert supervise.notify("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert supervise.notify("READY=1") is False
    monkeypatch.delenv(supervise.LIFELINE, raising=False)
    assert supervise.follow() is False


async def test_readiness_is_told_only_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    asked: list[str] = []

    async def ready() -> None:
        asked.append("asked")
        raise RuntimeError("it is not")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        await Supervisor(SystemClock(), {}, ready=ready)._announce()
        with pytest.raises(BlockingIOError):
            listener.recv(100)
    assert asked == ["asked"]


def test_what_a_child_says_and_what_becomes_of_it_is_heard(tmp_path: Path) -> None:
    with family(tmp_path, "agent", "web falls") as parent:
        pid_of(parent, "agent")
        eventually(lambda: "heard agent fine and well" in parent.said())
        eventually(lambda: "heard web falls it ended with exit code 3" in parent.said())
        os.kill(pid_of(parent, "agent"), signal.SIGKILL)
        eventually(lambda: "heard agent it was ended by SIGKILL" in parent.said())
        eventually(lambda: parent.said().count("heard agent fine and well") == 2)


def test_children_that_come_and_go_leave_no_pipe_open(tmp_path: Path) -> None:
    with family(tmp_path, "agent talks") as parent:
        pid_of(parent, "agent")
        open_files = len(list(Path(f"/proc/{parent.pid}/fd").iterdir()))
        os.kill(pid_of(parent, "agent"), signal.SIGKILL)
        pid_of(parent, "agent", 2)
        assert len(list(Path(f"/proc/{parent.pid}/fd").iterdir())) <= open_files + 1
