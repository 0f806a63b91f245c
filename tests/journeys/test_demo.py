"""The demonstration, as a first-time user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mainstay.demo.measures import Measures, MistakeMeasure
from tests.helpers import mainstay
from tests.servers.process import all_engines_wanted


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demonstration_tells_the_truth(tmp_path: Path) -> None:
    done = mainstay("demo", "--once", "--json", "--home", str(tmp_path / "demo"), deadline=280)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["passed"]
    assert {backup["database"] for backup in document["backups"]} == {"erp_prod", "analytics"}
    erp = next(backup for backup in document["backups"] if backup["database"] == "erp_prod")
    assert erp["rows"] > 100_000
    assert erp["tables"] >= 12
    assert erp["proven"]
    assert document["corruption"]["detected"]
    assert document["incident"]["recovery_told_seconds"] >= document["incident"]["heal_seconds"] > 0
    mistake = document["pitr"]
    assert (mistake["deleted_rows"], mistake["put_back_rows"]) == (60_001, 60_001)
    assert (mistake["lost_rows"], mistake["alien_rows"]) == (0, 0)
    assert mistake["restore_seconds"] > 0
    hooks = document["webhooks"]
    assert (hooks["sent"], hooks["accepted"], hooks["deduplicated"], hooks["refused"]) == (500, 450, 30, 20)
    assert (hooks["delivered"], hooks["lost"], hooks["doubled"]) == (450, 0, 0)
    gateway = document["gateway"]
    assert gateway["admitted"] >= 100
    assert gateway["admitted"] + gateway["limited"] == 130
    assert gateway["unauthorised"] == 10
    if all_engines_wanted() or shutil.which("pebble"):
        (certificate,) = document["certificates"]
        assert (certificate["renewed"], certificate["served"]) == (True, True)
    assert document["alerts"]["owed"] == document["alerts"]["delivered"] > 0
    assert document["alerts"]["duplicates"] == 0


@pytest.mark.parametrize(
    ("lost", "alien", "put_back", "true"),
    [(0, 0, 9, True), (1, 0, 9, False), (0, 1, 9, False), (0, 0, 8, False)],
)
def test_a_row_that_is_not_back_makes_a_claim_untrue(
    lost: int, alien: int, put_back: int, true: bool
) -> None:
    measures = Measures(pitr=MistakeMeasure(9, lost, alien, put_back, 1.0, 1.0))
    claims = dict(measures.claims())
    assert claims["a wrong DELETE was undone to the row, from the moment before it"] is true
    assert "a wrong DELETE was undone to the row, from the moment before it" not in dict(Measures().claims())


def test_it_touches_no_directory_that_is_not_its_own(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("the only copy")
    done = mainstay("demo", "--once", "--home", str(precious))
    assert done.returncode == 1
    assert "something else than a demonstration" in done.stderr
    assert (precious / "data").read_text() == "the only copy"
    link = tmp_path / "link"
    link.symlink_to(precious)
    assert mainstay("demo", "--once", "--home", str(link)).returncode == 1
