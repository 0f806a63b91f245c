"""Programs that say yes, no, nothing, too much, or never."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mainstay.checks import CommandCheck
from mainstay.core.check import Answer, Check, Verdict
from mainstay.core.secret import Secret
from tests.helpers import aeventually

Ask = Callable[[Check], Awaitable[Answer]]


def shell(script: str, **options: Any) -> CommandCheck:
    return CommandCheck.model_validate({"command": ["/bin/sh", "-c", script], **options})


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A dead child of nobody is a zombie until the first process reaps it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(
    ("script", "codes", "verdict", "detail"),
    [
        ("echo; echo all is well; echo more", "plain", Verdict.OK, "all is well"),
        ("exit 0", "plain", Verdict.OK, "exit code 0"),
        ("echo broken >&2; exit 1", "plain", Verdict.FAIL, "broken"),
        ("exit 3", "plain", Verdict.FAIL, "exit code 3"),
        ("kill -9 $$", "plain", Verdict.FAIL, "killed by SIGKILL"),
        ("echo 'LOAD OK - 0.1|load1=0.1;5'; exit 0", "nagios", Verdict.OK, "LOAD OK - 0.1"),
        ("echo 'LOAD WARNING'; exit 1", "nagios", Verdict.WARN, "LOAD WARNING"),
        ("echo 'LOAD CRITICAL'; exit 2", "nagios", Verdict.FAIL, "LOAD CRITICAL"),
        ("exit 3", "nagios", Verdict.UNKNOWN, "exit code 3"),
        ("kill -15 $$", "nagios", Verdict.UNKNOWN, "killed by SIGTERM"),
    ],
)
async def test_verdicts(ask: Ask, script: str, codes: str, verdict: Verdict, detail: str) -> None:
    answer = await ask(shell(script, codes=codes))
    assert (answer.verdict, answer.detail) == (verdict, detail)


async def test_arguments_meet_no_shell(ask: Ask) -> None:
    answer = await ask(CommandCheck(command=["/bin/echo", "$HOME; exit 1", "*"]))
    assert answer.detail == "$HOME; exit 1 *"


async def test_what_is_mainstay_s_own_is_not_handed_on(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_SHOP_DSN", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    monkeypatch.setenv("SOMETHING_ELSE", "stays")
    answer = await ask(shell("echo $SOMETHING_ELSE $(env | grep -c -e ^MAINSTAY_ -e ^CREDENTIALS)"))
    assert answer.detail == "stays 0"


async def test_directory_and_environment(ask: Ask, tmp_path: Path) -> None:
    env = {"PLAIN": "one", "KEY": Secret("key", "hunter2-and-more")}
    answer = await ask(shell("echo $PWD $PLAIN ${#KEY}", directory=tmp_path, env=env))
    assert answer.detail == f"{tmp_path} one 16"


async def test_a_secret_is_not_repeated(ask: Ask) -> None:
    answer = await ask(shell("echo key is $KEY", env={"KEY": Secret("key", "hunter2-and-more")}))
    assert answer.detail == "key is ********"


async def test_a_program_that_is_not_there_is_unknown(ask: Ask, tmp_path: Path) -> None:
    answer = await ask(CommandCheck(command=[str(tmp_path / "missing")]))
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.detail == f"cannot run {tmp_path / 'missing'}: No such file or directory"


async def test_a_time_out_kills_the_whole_family(ask: Ask, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    answer = await ask(shell(f"sleep 60 & echo $! $$ > {pids}; wait", timeout="500ms"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail == "sh did not end within 500ms and was killed"
    for pid in map(int, pids.read_text().split()):
        await aeventually(partial(gone, pid))


async def test_being_cancelled_kills_it_too(ask: Ask, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    asking = asyncio.ensure_future(ask(shell(f"sleep 60 & echo $! $$ > {pids}; wait", timeout="30s")))
    await aeventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    for pid in map(int, pids.read_text().split()):
        await aeventually(partial(gone, pid))


async def test_what_a_program_leaves_behind_does_not_hold_the_check_up(ask: Ask) -> None:
    # The child of the child keeps the output open in a session of its own, where no group signal reaches it.
    leave = "import subprocess; subprocess.Popen(['sleep', '3'], start_new_session=True); print('left', flush=True)"
    answer = await ask(CommandCheck(command=[sys.executable, "-c", leave], timeout=30))
    assert answer.verdict is Verdict.OK
    assert answer.detail == "left"


async def test_endless_output_is_drained(ask: Ask) -> None:
    answer = await ask(shell("echo first; head -c 5000000 /dev/zero"))
    assert answer.verdict is Verdict.OK
    assert answer.detail == "first"
