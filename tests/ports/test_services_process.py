"""Programs that mainstay starts itself: real ones, killed, hung, orphaned and mistaken for others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mainstay.core.secret import Secret
from mainstay.core.service import Process
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.ports.services import ServiceError, ServiceState, Standing, control_for, procs
from mainstay.ports.services.process import ProcessControl
from tests.helpers import aeventually, bare_environment, eventually

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
FAMILY = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print('ready', flush=True); time.sleep(600)"
)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., ProcessControl]]:
    """`make(code)` gives the control of a Python program; everything is gone afterwards."""
    made: list[ProcessControl] = []

    def control(code: str = SLEEPER, name: str = "api", **options: object) -> ProcessControl:
        process = Process(command=[sys.executable, "-c", code], **options)  # type: ignore[arg-type]
        found = control_for(name, process, tmp_path / "state", tmp_path)
        assert isinstance(found, ProcessControl)
        made.append(found)
        return found

    yield control
    for each in made:
        await each.stop()


async def running(control: ProcessControl, words: str = "ready") -> ServiceState:
    """Start it, and wait until it says so."""
    await control.start()
    await aeventually(lambda: words in control.log.read_text())
    state = await control.state()
    assert state.state is Standing.RUNNING
    return state


def gone(pid: int) -> bool:
    """Whether it has ended; an orphan that nobody takes leave of stays as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_start_is_once_and_stop_ends_it(make: Callable[..., ProcessControl]) -> None:
    control = make()
    assert (await control.state()).state is Standing.STOPPED
    first = await running(control)
    assert first.pid is not None
    await control.start()
    assert (await control.state()).pid == first.pid
    await control.stop()
    assert gone(first.pid)
    stopped = await control.state()
    assert (stopped.state, stopped.held, stopped.detail) == (Standing.STOPPED, True, "stopped on purpose")


async def test_a_killed_program_is_seen_at_once_and_comes_back(make: Callable[..., ProcessControl]) -> None:
    control = make()
    first = await running(control)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    seen = await aeventually(lambda: _stopped(control))
    assert seen is not None
    assert not seen.held
    await control.restart()
    second = await control.state()
    assert second.state is Standing.RUNNING
    assert second.pid != first.pid
    eventually(lambda: gone(first.pid or 0))


async def _stopped(control: ProcessControl) -> ServiceState | None:
    state = await control.state()
    return state if state.state is Standing.STOPPED else None


async def test_a_program_that_ignores_sigterm_is_killed(
    make: Callable[..., ProcessControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstay.ports.services.process.GRACE", 0.2)
    control = make(DEAF)
    first = await running(control)
    await control.restart()
    second = await control.state()
    assert second.pid not in (None, first.pid)
    assert gone(first.pid or 0)


async def test_a_program_that_stands_still_hears_sigterm(make: Callable[..., ProcessControl]) -> None:
    control = make()
    first = await running(control)
    os.kill(first.pid or 0, signal.SIGSTOP)
    clock = SystemClock()
    began = clock.monotonic()
    await control.restart()
    assert clock.monotonic() - began < 5
    assert gone(first.pid or 0)


async def test_its_children_end_with_it(make: Callable[..., ProcessControl]) -> None:
    control = make(FAMILY)
    first = await running(control)
    children = await aeventually(lambda: _children(first.pid or 0))
    os.kill(first.pid or 0, signal.SIGKILL)
    await control.restart()
    assert all(gone(child) for child in children)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_it_outlives_the_agent_and_is_found_by_the_next_one(tmp_path: Path) -> None:
    agent = _agent(tmp_path)
    assert agent.returncode == 0, agent.stderr
    pid = int(agent.stdout)
    assert not gone(pid)
    assert os.getsid(pid) == pid
    control = control_for(
        "api", Process(command=[sys.executable, "-c", SLEEPER]), tmp_path / "state", tmp_path
    )
    assert not await control.ensure_running()
    assert (await control.state()).pid == pid
    await control.stop()
    assert gone(pid)


async def test_an_agent_killed_before_it_wrote_the_number_down_leaves_no_orphan(tmp_path: Path) -> None:
    agent = _agent(tmp_path, MAINSTAY_CRASH_AT="service.spawned")
    assert agent.returncode == -signal.SIGKILL
    assert not (tmp_path / "state/services/api.json").exists()
    control = control_for(
        "api", Process(command=[sys.executable, "-c", SLEEPER]), tmp_path / "state", tmp_path
    )
    assert not await control.ensure_running()
    pid = (await control.state()).pid
    assert pid is not None
    await control.stop()
    assert gone(pid)


def _agent(directory: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A process which starts the service as the agent would, and ends."""
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from mainstay.core.service import Process\n"
        "from mainstay.ports.services import control_for\n"
        "here = Path(sys.argv[1])\n"
        "control = control_for('api', Process(command=[sys.executable, '-c', sys.argv[2]]), here / 'state', here)\n"
        "async def main():\n"
        "    assert await control.ensure_running()\n"
        "    print((await control.state()).pid)\n"
        "asyncio.run(main())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(directory), SLEEPER],
        env=bare_environment(**env),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_a_number_that_belongs_to_somebody_else_is_never_killed(
    make: Callable[..., ProcessControl], tmp_path: Path
) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        control = make()
        record = tmp_path / "state/services/api.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"pid": stranger.pid, "identity": "an older boot:1", "started_at": 1.0}))
        assert (await control.state()).state is Standing.STOPPED
        await control.restart()
        assert (await control.state()).pid != stranger.pid
        await control.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_two_services_do_not_touch_each_other(make: Callable[..., ProcessControl]) -> None:
    one, two = make(name="one"), make(name="two")
    await running(one)
    kept = await running(two)
    await one.restart()
    assert (await two.state()).pid == kept.pid


async def test_stopped_on_purpose_stays_stopped_until_started(make: Callable[..., ProcessControl]) -> None:
    control = make()
    assert await control.ensure_running()
    assert not await control.ensure_running()
    await control.stop()
    assert not await control.ensure_running()
    await control.start()
    state = await control.state()
    assert (state.state, state.held) == (Standing.RUNNING, False)


async def test_secrets_reach_the_environment_and_nothing_else(
    make: Callable[..., ProcessControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTAY_OTHER_SECRET", "not for children")
    code = (
        "import os; print(os.environ['DSN'], 'MAINSTAY_OTHER_SECRET' in os.environ, flush=True); " + SLEEPER
    )
    control = make(code, env={"DSN": Secret("dsn", "postgresql://u:swordfish@db/x"), "PLAIN": "yes"})
    state = await running(control, "swordfish@db/x False")
    assert b"swordfish" not in Path(f"/proc/{state.pid}/cmdline").read_bytes()
    assert oct(control.log.stat().st_mode & 0o777) == "0o600"


async def test_no_lock_is_inherited(make: Callable[..., ProcessControl], tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(lock, True)
    try:
        state = await running(make())
        files = [str(entry.readlink()) for entry in Path(f"/proc/{state.pid}/fd").iterdir()]
        assert str(tmp_path / "lock") not in files
    finally:
        os.close(lock)


async def test_the_log_is_capped_and_the_program_writes_on(make: Callable[..., ProcessControl]) -> None:
    code = (
        "import sys, time\n"
        "print('x' * 5000, flush=True)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
        "while True:\n"
        "    print('more', flush=True)\n"
        "    time.sleep(0.01)\n"
    )
    control = make(code)
    await running(control)
    control.trim(cap=100_000_000)
    assert not control.log.with_suffix(".log.1").exists()
    control.trim(cap=4000)
    assert "ready" in control.log.with_suffix(".log.1").read_text()
    await aeventually(lambda: "more" in control.log.read_text())
    assert control.log.stat().st_size < 4000


async def test_tending_looks_every_minute(tmp_path: Path) -> None:
    clock = FakeClock()
    control = control_for("api", Process(command=["true"]), tmp_path, tmp_path, clock)
    assert isinstance(control, ProcessControl)
    control.log.parent.mkdir()
    control.log.write_bytes(b"x" * 10_000_001)
    async with _tended(control):
        await aeventually(lambda: control.log.stat().st_size == 0)
        control.log.write_bytes(b"y" * 10_000_001)
        await clock.advance(61)
        await aeventually(lambda: control.log.stat().st_size == 0)


@asynccontextmanager
async def _tended(control: ProcessControl) -> AsyncIterator[None]:
    task = asyncio.create_task(control.tend())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_runs_in_its_directory(make: Callable[..., ProcessControl], tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    code = "import os; print(os.getcwd(), flush=True); " + SLEEPER
    await running(make(code, directory=Path("place")), str(tmp_path / "place"))
    await running(make(code, name="other"), str(tmp_path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": ["no-such-program"]}, "there is no program no-such-program"),
        ({"command": ["true"], "directory": Path("nowhere")}, "there is no directory"),
        ({"command": ["/etc/passwd"]}, "may not be run"),
        ({"command": ["true"], "user": "nobody-at-all"}, "there is no such account"),
        ({"command": ["true"], "env": {"A": "b\0c"}}, "cannot start"),
    ],
)
async def test_what_cannot_start_says_why(tmp_path: Path, options: dict[str, object], words: str) -> None:
    control = control_for("api", Process(**options), tmp_path / "state", tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match=words):
        await control.start()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": ["no-such-program"]}, "there is no program no-such-program"),
        ({"command": ["bin/none"]}, "there is no program bin/none"),
        ({"command": [sys.executable], "directory": Path("gone")}, "there is no directory"),
        ({"command": [sys.executable], "user": "nobody-has-this-name"}, "there is no account"),
    ],
)
async def test_what_stands_in_its_way_is_seen_before_it_is_tried(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    control = control_for("api", Process(**options), tmp_path / "state", tmp_path)  # type: ignore[arg-type]
    state = await control.state()
    assert state.state is Standing.STOPPED
    assert state.detail.startswith(f"not running, and cannot be started: {words}")


async def test_what_could_be_started_only_does_not_run(make: Callable[..., ProcessControl]) -> None:
    assert (await make().state()).detail == "not running"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
async def test_root_steps_down_to_the_user(tmp_path: Path) -> None:
    script = "id -u; id -G; echo $USER ready; exec sleep 600"
    process = Process(command=["/bin/sh", "-c", script], user="nobody", directory=Path("/"))
    control = control_for("api", process, tmp_path / "state", tmp_path)
    assert isinstance(control, ProcessControl)
    try:
        await running(control, "nobody ready")
        assert control.log.read_text().split()[:2] == ["65534", "65534"]
    finally:
        await control.stop()


async def test_two_who_start_it_at_the_same_moment_start_it_once(make: Callable[..., ProcessControl]) -> None:
    """Two agents, or an agent and a person at the command line."""
    controls = [make() for _ in range(4)]
    started = await asyncio.gather(*(control.ensure_running() for control in controls))
    assert sorted(started) == [False, False, False, True]
    assert len(procs.marked(controls[0]._mark)) == 1
    await asyncio.gather(*(control.restart() for control in controls), controls[0].start())
    assert len(procs.marked(controls[0]._mark)) == 1


async def test_a_directory_that_cannot_be_written_is_a_fault_in_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    control = control_for("api", Process(command=[sys.executable]), tmp_path / "state", tmp_path)
    with pytest.raises(ServiceError, match="api cannot be seen to: Not a directory"):
        await control.ensure_running()
