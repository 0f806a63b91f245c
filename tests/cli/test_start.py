"""Commands that people type all day start at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import scenes
from tests.cli.conftest import Company
from tests.helpers import bare_environment

HEAVY = (
    "aiohttp", "asyncio", "cryptography", "jinja2", "obstore", "prometheus_client", "psycopg", "pydantic", "redis",
    "rich", "ruamel", "starlette", "uvicorn", "zstandard", "logging", "dataclasses", "zoneinfo",
)  # fmt: skip
BUDGET = 0.1
"""Seconds over the start of bare Python."""
PATIENCE = 40


def imported(home: Path, *arguments: str) -> list[str]:
    """The heavy modules that a command has imported at its end."""
    program = (
        "import sys\nfrom mainstay.cli.entry import run\n"
        f"run({list(arguments)!r})\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=home, env=environment(home), capture_output=True, text=True, check=True
    )  # fmt: skip
    found: list[str] = __import__("json").loads(done.stderr.strip().splitlines()[-1].replace("'", '"'))
    return found


def environment(home: Path) -> dict[str, str]:
    made = bare_environment(XDG_CACHE_HOME=str(home / "cache"), HOME=str(home))
    made.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    return made


@pytest.fixture
def measured(company: Company, now: float) -> Company:
    """A company whose file was looked at before."""
    company.change(scenes.together(scenes.alive(now), scenes.answers(now), scenes.backup(now)))
    imported(company.home, "status")
    return company


def test_nothing_heavy_is_imported(measured: Company) -> None:
    for arguments in (["--version"], ["--help"], ["status"], ["status", "--json"]):
        assert imported(measured.home, *arguments) == [], arguments


def test_looking_needs_no_framework(measured: Company) -> None:
    for arguments in (["jobs"], ["check"], ["incidents"], ["backup", "list"], ["silence"], ["logs", "x"]):
        assert set(imported(measured.home, *arguments)) <= {"dataclasses", "zoneinfo"}, arguments


def test_the_first_look_at_a_file_costs_a_validation(measured: Company) -> None:
    measured.write(measured.file.read_text() + "\n# changed\n")
    assert "pydantic" in imported(measured.home, "status")
    assert imported(measured.home, "status") == []


def cost(home: Path, program: list[str]) -> float:
    """Seconds of processor time that a program takes: what it would take on an idle machine."""
    with (home / "said").open("wb") as said:
        process = subprocess.Popen(program, cwd=home, env=environment(home), stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("arguments", [["--version"], ["status"]])
def test_it_starts_within_a_tenth_of_a_second_over_bare_python(
    measured: Company, arguments: list[str]
) -> None:
    program = [
        sys.executable,
        "-c",
        f"import sys; sys.argv[1:] = {arguments}; from mainstay.cli import main; main()",
    ]
    bare = ours = 9.9
    for _ in range(PATIENCE):  # other work on the machine only ever makes a start dearer
        bare = min(bare, cost(measured.home, [sys.executable, "-c", "pass"]))
        ours = min(ours, cost(measured.home, program))
        if ours - bare < BUDGET:
            return
    pytest.fail(f"{ours - bare:.3f}s over bare Python")
