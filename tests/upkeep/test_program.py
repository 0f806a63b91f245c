"""Programs of the system: they end with us, unless half of their work would be worse."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mainstay.core.errors import MainstayError
from mainstay.upkeep.program import Said, ask, let_finish
from tests.helpers import aeventually

Ask = Callable[..., Awaitable[Said]]
WORK = 'echo $$ > "$0/pid"; while [ ! -e "$0/go" ]; do sleep 0.02; done; touch "$0/done"'


def alive(pid: str) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("how", [ask, let_finish])
async def test_what_a_program_says_is_kept_in_english(how: Ask) -> None:
    said = await how("sh", "-c", "echo out; echo $LC_ALL >&2; exit 3", within=10)
    assert said == Said(3, "out\n", "C.UTF-8\n")
    assert said.last == "C.UTF-8"


@pytest.mark.parametrize("how", [ask, let_finish])
async def test_secrets_of_mainstay_are_not_handed_on(how: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_PASSWORD", "hunter2")
    assert "hunter2" not in (await how("env", within=10)).out


@pytest.mark.parametrize("how", [ask, let_finish])
async def test_a_program_that_is_not_there_is_said(how: Ask) -> None:
    with pytest.raises(MainstayError, match="cannot run no-such-program"):
        await how("no-such-program", within=10)


@pytest.mark.parametrize("finish", [False, True])
async def test_a_run_that_is_stopped_ends_its_program_or_lets_it_finish(tmp_path: Path, finish: bool) -> None:
    how = let_finish if finish else ask
    asking = asyncio.create_task(how("sh", "-c", WORK, str(tmp_path), within=60))
    pid = await aeventually(lambda: (tmp_path / "pid").read_text().strip())
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gc.collect()  # what nothing holds any more may end what it held
    assert alive(str(pid)) is finish
    (tmp_path / "go").touch()
    if finish:
        await aeventually((tmp_path / "done").exists)
    assert (tmp_path / "done").exists() is finish


async def test_a_program_that_takes_too_long_is_ended_and_said(tmp_path: Path) -> None:
    with pytest.raises(MainstayError, match="sh took longer than 300ms, and was ended"):
        await ask("sh", "-c", WORK, str(tmp_path), within=0.3)
    pid = (tmp_path / "pid").read_text().strip()
    await aeventually(lambda: not alive(pid))


LEAVER = """
import asyncio, sys
from mainstay.upkeep.program import let_finish
asyncio.run(let_finish("sh", "-c", sys.argv[2], sys.argv[1], within=60))
"""


async def test_what_must_finish_outlives_even_our_sudden_end(tmp_path: Path) -> None:
    work = WORK.replace("touch", "echo a long story; echo and more >&2; touch")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LEAVER, str(tmp_path), work)
    pid = await aeventually(lambda: (tmp_path / "pid").read_text().strip())
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    assert alive(str(pid))
    (tmp_path / "go").touch()
    await aeventually((tmp_path / "done").exists)
