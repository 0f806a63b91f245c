"""The examples are right, and say what they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.app.compose import jobs_of
from mainstay.config.facts import setup
from mainstay.config.load import load
from mainstay.core.finding import Priority, Standing
from mainstay.readiness.assess import assess, ready
from mainstay.readiness.evidence import Evidence

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_loads_without_secrets(path: Path) -> None:
    config = load(path, secrets=False)
    assert config.services
    assert jobs_of(config)


def test_the_smallest_example_has_three_lines() -> None:
    assert len((EXAMPLES / "minimal.yaml").read_text().splitlines()) == 3


def test_the_company_can_say_everything_that_must_be_automated() -> None:
    config = load(EXAMPLES / "insightpulse.yaml", secrets=False)
    findings = assess(setup(config), Evidence(), 0.0)
    assert ready(findings)
    missing = [finding.rule for finding in findings if finding.standing is Standing.MISSING]
    p0_p1 = [finding.rule for finding in findings if finding.priority in (Priority.P0, Priority.P1)]
    assert set(missing) & set(p0_p1) == {"logs"}
    assert {"backup:odoo_prod", "prove:superset", "heal:odoo", "journal_backup"} <= set(jobs_of(config))
