"""Jobs of the user's own, by the real runner: what they are given, what is kept of them, how they end."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from mainstay.core.run import RunState
from mainstay.core.secret import MASK, Secret
from mainstay.ports.clock import FakeClock
from mainstay.ports.program import LONGEST_LINE, Lines
from mainstay.store.base import Store
from mainstay.upkeep.own.command import CommandJob
from mainstay.upkeep.own.entry_point import EntryPointJob
from tests.helpers import aeventually
from tests.servers.recorder import Answer, Recorder
from tests.upkeep.house import House, job_of

KEY = "-----BEGIN KEY-----\nQUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo\n-----END KEY-----\n"


@pytest.fixture
def house(store: Store, clock: FakeClock, tmp_path: Path) -> House:
    return House(store, clock, tmp_path)


def shell(script: str, **options: object) -> CommandJob:
    made: CommandJob = job_of(CommandJob, command=["/bin/sh", "-c", script], **{"retries": 0, **options})
    return made


async def test_output_is_the_log_and_its_last_line_the_summary(house: House) -> None:
    run = await house.run(shell("echo one; echo two >&2; printf three"))
    assert (run.state, run.summary, run.outcome) == (RunState.DONE, "three", {"last": "three", "code": 0})
    assert await house.lines(run) == ["one", "two", "three"]


async def test_secrets_come_by_the_environment_alone_and_are_masked_in_what_is_written(house: House) -> None:
    secrets = {"TOKEN": Secret("token", "s3cr3t-value"), "KEY": Secret("key", KEY)}
    script = 'echo "it is $TOKEN"; echo "$KEY"; tr "\\0" " " < /proc/$$/cmdline; echo; echo "$PLAIN"'
    run = await house.run(shell(script, env={**secrets, "PLAIN": "seen"}))
    lines = await house.lines(run)
    assert lines[0] == f"it is {MASK}"
    assert MASK in lines[2]  # the body of the key, on a line of its own
    assert "seen" in lines
    everything = "\n".join(lines) + run.summary
    assert "s3cr3t-value" not in everything
    assert "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" not in everything


async def test_it_knows_its_run_and_nothing_of_what_is_mainstays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTAY_PASSWORD", "hunter2")
    run = await house.run(shell("env"), args={"day": "monday"})
    told = dict(line.split("=", 1) for line in await house.lines(run) if "=" in line)
    ours = {name: value for name, value in told.items() if name.startswith("MAINSTAY_")}
    assert ours == {
        "MAINSTAY_JOB": "job",
        "MAINSTAY_RUN": run.id,
        "MAINSTAY_DUE_AT": ours["MAINSTAY_DUE_AT"],
        "MAINSTAY_ATTEMPT": "1",
        "MAINSTAY_ARGS": '{"day": "monday"}',
    }
    assert ours["MAINSTAY_DUE_AT"].endswith("Z")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo the disk is full >&2; exit 3", "sh ended with exit code 3: the disk is full"),
        ("kill -9 $$", "sh was killed by signal 9"),
    ],
)
async def test_a_failure_is_told_by_its_last_words(house: House, script: str, told: str) -> None:
    run = await house.run(shell(script))
    assert run.state is RunState.FAILED
    assert run.error == told


async def test_a_program_that_is_not_there_is_named(house: House, tmp_path: Path) -> None:
    run = await house.run(job_of(CommandJob, command=["/nowhere/prog"], retries=0))
    assert run.error is not None
    assert "cannot run /nowhere/prog: no such program" in run.error
    run = await house.run(shell("true", directory=tmp_path / "none"))
    assert run.error is not None
    assert f"in {tmp_path}/none" in run.error


async def test_a_program_that_takes_too_long_is_ended_with_what_it_started(
    house: House, tmp_path: Path
) -> None:
    script = f'sleep 1000 & echo $! > {tmp_path}/child; echo begun; trap "echo ending; exit 1" TERM; wait'
    running = asyncio.ensure_future(house.run(shell(script, timeout=30.0)))
    await aeventually(lambda: (tmp_path / "child").exists() and bool((tmp_path / "child").read_text()))
    await house.clock.advance(31)
    run = await running
    assert (run.state, run.error) == (RunState.FAILED, "took longer than 30s and was stopped")
    assert await house.lines(run) == ["begun", "ending", "failed: took longer than 30s and was stopped"]
    await aeventually(lambda: not alive(int((tmp_path / "child").read_text())))


async def test_a_program_does_not_outlive_a_killed_mainstay(tmp_path: Path) -> None:
    code = (
        "import asyncio\nfrom mainstay.ports.program import Lines, run_program\n"
        f"argv = ['/bin/sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 1000']\n"
        "asyncio.run(run_program(argv, env={}, lines=Lines(print)))\n"
    )
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await aeventually(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
    agent.send_signal(signal.SIGKILL)
    await agent.wait()
    await aeventually(lambda: not alive(int((tmp_path / "pid").read_text())))


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_what_a_program_leaves_behind_does_not_hold_its_run(house: House, tmp_path: Path) -> None:
    run = await house.run(shell(f"sleep 1000 & echo $! > {tmp_path}/child; echo done"))
    assert run.summary == "done"
    await aeventually(lambda: not alive(int((tmp_path / "child").read_text())))


def test_lines_are_cut_from_any_pieces_and_a_giant_one_does_not_fill_the_memory() -> None:
    told: list[str] = []
    lines = Lines(told.append)
    for piece in (b"o", b"ne\ntw", b"o\r\n\nlas\xff", b"t"):
        lines.feed(piece)
    lines.close()
    assert told == ["one", "two", "", "las\ufffdt"]
    assert lines.last == "las\ufffdt"
    for _ in range(3):
        lines.feed(b"x" * LONGEST_LINE)
    lines.feed(b"\nshort\n")
    assert [len(line) for line in told[4:]] == [LONGEST_LINE, 5]


async def test_a_function_is_called_in_a_process_of_its_own(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nightly.py").write_text(
        "import os\n"
        "def close(day, hour=1):\n    print('closing', os.environ['BOOK'])\n    return f'{day} {hour}'\n"
        "async def later():\n    return 'awaited'\n"
        "def fails():\n    raise LookupError('no such day')\n"
    )
    env = {"PYTHONPATH": str(tmp_path), "BOOK": "sales"}
    job = job_of(EntryPointJob, entry_point="nightly:close", arguments={"day": "monday"}, env=env)
    run = await house.run(job, args={"hour": 7})
    assert (run.state, run.summary) == (RunState.DONE, "monday 7")
    assert await house.lines(run) == ["closing sales", "monday 7"]
    assert (await house.run(job_of(EntryPointJob, entry_point="nightly:later", env=env))).summary == "awaited"
    failed = await house.run(job_of(EntryPointJob, entry_point="nightly:fails", env=env, retries=0))
    assert failed.error == "nightly:fails ended with exit code 1: LookupError: no such day"
    lost = await house.run(job_of(EntryPointJob, entry_point="nightly:nothing", env=env, retries=0))
    assert lost.error is not None
    assert "AttributeError" in lost.error


async def test_a_heartbeat_follows_success_and_the_failure_of_the_last_try(
    house: House, recorder: Recorder
) -> None:
    beat = {"heartbeat": Secret("beat", f"{recorder.url}/ping/abc-def")}
    assert (await house.run(shell("true", **beat))).state is RunState.DONE
    assert [(one.method, one.path) for one in recorder.requests] == [("GET", "/ping/abc-def")]
    running = asyncio.ensure_future(house.run(shell("exit 1", retries=1, **beat)))
    while not running.done():
        await house.clock.advance(1)
    assert [one.path for one in recorder.requests][1:] == ["/ping/abc-def/fail"]
    assert (await running).attempt == 2


async def test_a_heartbeat_that_nobody_hears_fails_nothing_and_shows_no_address(
    house: House, recorder: Recorder
) -> None:
    recorder.behave(Answer(500))
    job = shell("echo fine", heartbeat=Secret("beat", f"{recorder.url}/ping/abc-def"))
    running = asyncio.ensure_future(house.run(job))
    while not running.done():
        await house.clock.advance(1)
    run = await running
    assert (run.state, run.summary) == (RunState.DONE, "fine")
    assert await house.lines(run) == ["fine", "the heartbeat could not be told: it answered 500"]
    assert len(recorder.requests) == 3
