"""The compiled modules do what their files do as Python: the edge passes its tests as the package that is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT, installed_environment

pytestmark = pytest.mark.timeout(900)
"""Seconds: on a busy machine it takes a while to compile."""

HOT = (
    "edge.http.connection",
    "edge.proxy.relay",
    "edge.gateway.gate",
    "edge.inbox.intake",
    "store.sqlite_link",
)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the installed package goes first."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=installed_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_what_every_request_passes_through_is_compiled() -> None:
    script = "import importlib, sys\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    done = python("-c", script, *(f"mainstay.{name}" for name in HOT))
    files = done.stdout.splitlines()
    assert len(files) == len(HOT), done.stdout
    assert all(file.endswith(".so") for file in files), files


def test_compiled_the_edge_passes_its_own_tests(tmp_path: Path) -> None:
    tests = ["tests/edge/http", "tests/edge/proxy", "tests/edge/inbox", "tests/edge/gateway"]
    options = ["-q", "-p", "no:xdist", "--no-cov", "-k", "not fronts and not process"]
    pytest = ["-m", "pytest", *options, "-o", f"cache_dir={tmp_path}"]
    done = python(*pytest, *tests)
    if done.returncode:  # as everywhere: once more, alone
        done = python(*pytest, "--last-failed", *tests)
    assert done.returncode == 0, done.stdout[-6000:]
