"""The gate opens for enough lines only, and says both figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT, bare_environment
from tools import coverage_gate


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A module of which a run covered ten of twelve lines, and a configuration that points at the data."""
    module = tmp_path / "some.py"
    module.write_text("import sys\n" + "x = 1\n" * 8 + "if len(sys.argv) > 1:\n" + "    y = 1\n" * 2)
    config = tmp_path / "pyproject.toml"
    config.write_text(
        "[tool.coverage.run]\nbranch = true\n"
        f'data_file = "{tmp_path}/data"\ninclude = ["{module}"]\n'
        f'[tool.coverage.json]\noutput = "{tmp_path}/report.json"\n'
    )
    subprocess.run(
        [sys.executable, "-m", "coverage", "run", f"--rcfile={config}", module],
        check=True,
        cwd=ROOT,
        env=bare_environment(),
    )
    return config


def test_too_few_lines_are_refused(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coverage_gate, "CONFIG", measured)
    assert coverage_gate.main() == 1
    assert "83.3 % of lines, 50.0 % of branches: too little" in capsys.readouterr().out


def test_enough_lines_pass(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coverage_gate, "CONFIG", measured)
    monkeypatch.setattr(coverage_gate, "LINES_WANTED", 80.0)
    assert coverage_gate.main() == 0
    assert "83.3 % of lines, 50.0 % of branches: ok" in capsys.readouterr().out


def test_no_data_is_no_success(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (measured.parent / "data").unlink()
    monkeypatch.setattr(coverage_gate, "CONFIG", measured)
    assert coverage_gate.main() == 1
    assert "hint:" in capsys.readouterr().err
