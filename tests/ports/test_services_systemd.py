"""Units of systemd, told and asked through systemctl.

No systemd runs where these tests do, so a script of that name on PATH plays it: it writes down how it was called and
gives the answers that systemd 252 gives. What is tried here is only the calls and the reading of answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay.core.service import Unit
from mainstay.ports.clock import SystemClock
from mainstay.ports.services import ServiceControl, ServiceError, Standing, control_for
from mainstay.ports.services.systemd import SystemdControl

SCRIPT = """#!/bin/sh
echo "$*" >> "{here}/calls"
case "$*" in
{cases}
esac
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ServiceControl]:
    """`systemctl(show="...")` gives the control of a unit whose systemctl answers so to each word."""

    def make(**answers: str) -> ServiceControl:
        cases = "\n".join(f"*{word.replace('_', '-')}*) {answer} ;;" for word, answer in answers.items())
        script = tmp_path / "systemctl"
        script.write_text(SCRIPT.format(here=tmp_path, cases=cases))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return control_for("api", Unit(kind="systemd", name="odoo.service"), tmp_path, tmp_path)

    return make


def shown(**values: str) -> str:
    told = {
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "Result": "success",
        **values,
    }
    return "printf '%s\\n' " + " ".join(f"'{name}={value}'" for name, value in told.items())


def calls(directory: Path) -> list[str]:
    return (directory / "calls").read_text().splitlines()


async def test_a_unit_that_runs(systemctl: Callable[..., ServiceControl], tmp_path: Path) -> None:
    clock = SystemClock()
    entered = int((clock.monotonic() - 60) * 1e6)
    control = systemctl(show=shown(MainPID="4711", ActiveEnterTimestampMonotonic=str(entered)))
    state = await control.state()
    assert (state.state, state.pid, state.detail) == (Standing.RUNNING, 4711, "active (running)")
    assert state.since is not None
    assert abs(clock.now() - 60 - state.since) < 5
    (call,) = calls(tmp_path)
    assert call.startswith("--no-ask-password --no-pager show --property=LoadState,ActiveState,")
    assert call.endswith(" odoo.service")


@pytest.mark.parametrize(
    ("answer", "standing", "held", "detail"),
    [
        ({"ActiveState": "inactive", "SubState": "dead"}, Standing.STOPPED, True, "inactive (dead)"),
        (
            {"ActiveState": "failed", "SubState": "failed", "Result": "signal"},
            Standing.STOPPED,
            False,
            "failed (failed): signal",
        ),
        (
            {"ActiveState": "activating", "SubState": "auto-restart"},
            Standing.RUNNING,
            False,
            "activating (auto-restart)",
        ),
        (
            {"LoadState": "not-found"},
            Standing.MISSING,
            False,
            "systemd knows no usable unit odoo.service: not-found",
        ),
        (
            {"LoadState": "masked"},
            Standing.MISSING,
            False,
            "systemd knows no usable unit odoo.service: masked",
        ),
    ],
)
async def test_how_a_unit_stands(
    systemctl: Callable[..., ServiceControl],
    answer: dict[str, str],
    standing: Standing,
    held: bool,
    detail: str,
) -> None:
    state = await systemctl(show=shown(**answer)).state()
    assert (state.state, state.held, state.detail) == (standing, held, detail)


async def test_a_restart_comes_after_the_failures_are_forgotten(
    systemctl: Callable[..., ServiceControl], tmp_path: Path
) -> None:
    control = systemctl()
    await control.restart()
    await control.start()
    await control.stop()
    assert not await control.ensure_running()
    assert [call.split()[2:] for call in calls(tmp_path)] == [
        ["reset-failed", "odoo.service"],
        ["restart", "odoo.service"],
        ["reset-failed", "odoo.service"],
        ["start", "odoo.service"],
        ["stop", "odoo.service"],
    ]


async def test_a_unit_reads_its_files_anew(systemctl: Callable[..., ServiceControl], tmp_path: Path) -> None:
    control = systemctl(reload="echo 'Job type reload is not applicable for unit odoo.service.' >&2; exit 3")
    assert isinstance(control, SystemdControl)
    with pytest.raises(ServiceError, match=r"reload odoo\.service: Job type reload is not applicable"):
        await control.reload()
    assert calls(tmp_path) == ["--no-ask-password --no-pager reload odoo.service"]


async def test_a_unit_that_is_not_loaded_has_no_failures_to_forget(
    systemctl: Callable[..., ServiceControl], tmp_path: Path
) -> None:
    control = systemctl(
        reset_failed="echo 'Failed to reset failed state: Unit odoo.service not loaded.' >&2; exit 1"
    )
    await control.restart()
    assert len(calls(tmp_path)) == 2


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Failed to restart odoo.service: Access denied", "run mainstay as root"),
        ("System has not been booted with systemd as init system", "systemd does not run here"),
        ("Job for odoo.service failed because the control process exited with error code.", "Job for odoo"),
        ("", "exit code 4"),
    ],
)
async def test_what_systemd_refuses_is_said(
    systemctl: Callable[..., ServiceControl], said: str, words: str
) -> None:
    control = systemctl(restart=f"echo '{said}' >&2; exit 4")
    with pytest.raises(ServiceError, match=words):
        await control.restart()


async def test_without_systemctl_it_says_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    control = control_for("api", Unit(kind="systemd", name="odoo.service"), tmp_path, tmp_path)
    state = await control.state()
    assert state.state is Standing.UNKNOWN
    assert "there is no systemctl on this machine" in state.detail
    with pytest.raises(ServiceError, match="docker:NAME"):
        await control.restart()


async def test_a_systemctl_that_hangs_is_given_up(
    systemctl: Callable[..., ServiceControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstay.ports.services.systemd.LOOK_WITHIN", 0.2)
    state = await systemctl(show="exec sleep 60").state()
    assert (state.state, state.detail) == (Standing.UNKNOWN, "systemctl show took longer than 200ms")
