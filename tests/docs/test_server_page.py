"""The page about servers: systemd itself says whether the unit is right, and how much it shuts out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.page import Step, steps
from tests.helpers import ROOT, bare_environment
from tests.servers.process import program

PAGE = ROOT / "docs/how-to/install-on-a-server.md"


def block(name: str) -> Step:
    return next(step for step in steps(PAGE, {}) if step.file == name)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The page's unit, with a program that is here."""
    path = tmp_path / "mainstay.service"
    path.write_text(block("mainstay.service").text.replace("/opt/mainstay/bin/mainstay", "/bin/true"))
    return path


def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_shuts_out_what_mainstay_does_not_need(unit: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    words = ["security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run([analyze, *words], capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for mainstay\.service: (\d+\.\d)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) <= 2.5  # 9.6 is what a unit without any of it has


def test_the_unit_speaks_as_the_supervisor_does(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    # READY=1 and WATCHDOG=1 come from the first process; SIGTERM goes to it alone, and it ends the others.
    assert {"Type=notify", "WatchdogSec=1min", "KillMode=process"} <= set(lines)
    assert "ExecReload=/bin/kill -HUP $MAINPID" in lines


def test_the_wrapper_hands_every_word_on_as_the_service_s_account(tmp_path: Path) -> None:
    for name, text in (
        ("mainstay", block("wrapper").text),
        ("runuser", '#!/bin/sh\nprintf "%s|" "$HOME" "$CREDENTIALS_DIRECTORY" "$@"\n'),
        ("id", "#!/bin/sh\necho 0\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = bare_environment(PATH=f"{tmp_path}:/usr/bin:/bin")
    words = ["silence", "website", "--why", "two words"]
    done = subprocess.run(
        [str(tmp_path / "mainstay"), *words], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split("|")[:-1] == [
        "/var/lib/mainstay",
        "/etc/mainstay/secrets",
        "-u",
        "mainstay",
        "--",
        "/opt/mainstay/bin/mainstay",
        *words,
    ]
