"""Types of third parties come in by entry points; a broken one is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers import command

CHECK = '''
"""A check of somebody else."""

from mainstay.core.check import Answer, Check, Place


class GreetCheck(Check, type="greet", shorthand="whom"):
    """Says hello."""

    whom: str
    """Whom to greet."""

    async def probe(self, place: Place) -> Answer:
        return Answer.ok(f"hello {self.whom}")
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An installed package with a plug-in."""
    home = tmp_path / "site"
    about = home / "greet-1.0.dist-info"
    about.mkdir(parents=True)
    (home / "greet.py").write_text(CHECK)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mainstay.plugins]\ngreet = greet\n")
    return home


def checked(package: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What `mainstay config check` says of a file, with the package installed."""
    file = package.parent / "mainstay.yaml"
    file.write_text(text)
    env = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(
        command("config", "check", str(file)),
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_check_of_somebody_else_is_a_check_like_any_other(package: Path) -> None:
    text = "name: x\nservices: {web: {checks: [{greet: world}]}}\n"
    done = checked(package, text)
    assert (done.returncode, "1 check" in done.stdout) == (0, True), done.stderr
    wrong = checked(package, text.replace("greet: world", "greet: {whmo: world}"))
    assert "greet.whmo: unknown option; did you mean whom? (hint: Whom to greet)" in wrong.stderr


def test_a_broken_plug_in_is_named_with_its_package(package: Path) -> None:
    (package / "greet.py").write_text("import nothing_of_this_name\n")
    done = checked(package, "name: x\n")
    assert done.returncode == 2
    assert done.stderr.startswith("mainstay: the plug-in greet of greet cannot be loaded: No module named")
    assert done.stderr.count("\n") == 1
    assert "hint: update or uninstall greet" in done.stderr
