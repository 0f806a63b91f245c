"""Killed anywhere in a renewal: the next try ends with one certificate in place, and nothing was ordered twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mainstay.certs.pem import pair
from mainstay.certs.shelf import FILES, Shelf
from tests.certs.house import NAME
from tests.helpers import ROOT, bare_environment
from tests.servers.acme import Acme
from tests.servers.authority import Authority

DEADLINE = 100.0


class Office:
    """One certificate, with an old one in place; `agent` is a process that renews it."""

    def __init__(self, base: Path, acme: Acme) -> None:
        self.base = base
        self.shelf = Shelf(base / "certs" / NAME)
        old = Authority(base).issue(NAME, age=timedelta(days=80), left=timedelta(days=10))
        self.old = self.shelf.add(pair(old[0].read_bytes(), old[1].read_bytes(), "old"))
        self.shelf.point(self.old)
        self.certificate: dict[str, Any] = {
            "names": [NAME],
            "server": acme.directory,
            "server_ca": str(acme.ca),
            "dns": {"command": acme.hook("set-txt", sys.executable)},
            "served": "unchecked",
        }

    def agent(self, crash_at: str | None = None, key: str = "one") -> dict[str, Any] | None:
        """Run it to its end; what it printed, or None when it was killed as it should be."""
        env = bare_environment(PYTHONPATH=str(ROOT), **({"MAINSTAY_CRASH_AT": crash_at} if crash_at else {}))
        given = json.dumps({"base": str(self.base), "certificate": self.certificate, "key": key})
        done = subprocess.run(
            [sys.executable, "-m", "tests.certs.agent", given],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        if crash_at:
            assert done.returncode == -signal.SIGKILL, done.stderr
            return None
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def in_place(self) -> str:
        """The version in place: whole, and the only draft that is left is none."""
        version = self.shelf.current()
        assert version is not None
        assert self.shelf.read(version).leaf.serial == version
        assert {path.name for path in self.shelf.directory.iterdir()} >= set(FILES)
        assert not (self.base / "certbot" / "private").exists()
        return version


@pytest.fixture
def office(tmp_path: Path, acme: Acme) -> Office:
    return Office(tmp_path, acme)


@pytest.mark.parametrize("point", ["certs.ordered", "certs.written", "certs.installed"])
def test_a_renewal_survives_death(office: Office, acme: Acme, point: str) -> None:
    office.agent(crash_at=point)
    done = office.agent()
    assert done is not None
    assert (done["state"], done["error"], done["action"]) == ("done", None, "renewed")
    assert office.in_place() == done["serial"] != office.old
    assert acme.orders == 1


def test_going_back_survives_death(office: Office, acme: Acme) -> None:
    office.certificate["reload"] = {"command": ["false"]}
    office.agent(crash_at="certs.undoing")
    done = office.agent()
    assert done is not None
    assert done["state"] == "failed"
    assert "put back" in done["error"]
    assert office.in_place() == office.old
    assert acme.orders == 1
