"""The scorecard: every row of the matrix, judged."""

from collections.abc import Sequence

from mainstay.core.finding import Finding, Priority, Standing
from mainstay.readiness.evidence import Evidence
from mainstay.readiness.judgement import Judgement, configured, missing
from mainstay.readiness.matrix import MATRIX, Row
from mainstay.readiness.rules import RULES, by_job
from mainstay.readiness.setup import Setup
from mainstay.readiness.upkeep import UPKEEP


def assess(setup: Setup, evidence: Evidence, now: float) -> list[Finding]:
    """Judge every row that concerns this setup: the most important first, of these the worst. `now` is in seconds."""
    judged = [(row, _judge(row, setup, evidence, now)) for row in MATRIX.values()]
    findings = [_finding(row, judgement) for row, judgement in judged if judgement is not None]
    order = list(Standing)
    return sorted(findings, key=lambda finding: (finding.priority, order.index(finding.standing)))


def score(findings: Sequence[Finding]) -> int:
    """Give the percentage of the P0 and P1 rows that are automated, rounded down."""
    counted = [finding for finding in findings if finding.priority in (Priority.P0, Priority.P1)]
    done = [finding for finding in counted if finding.standing is not Standing.MISSING]
    return 100 * len(done) // len(counted) if counted else 100


def ready(findings: Sequence[Finding]) -> bool:
    """Say whether no P0 row is missing."""
    return not any(
        finding.priority is Priority.P0 and finding.standing is Standing.MISSING for finding in findings
    )


def _judge(row: Row, setup: Setup, evidence: Evidence, now: float) -> Judgement | None:
    judge = RULES.get(row.name) or UPKEEP.get(row.name)
    found = judge(setup, evidence, now) if judge else by_job(row.name, setup, evidence, now, row.today)
    note = setup.covered.get(row.name)
    if found is None:
        return configured(f"covered elsewhere: {note}") if note else None
    if found.standing is Standing.MISSING and note:
        return configured(f"covered elsewhere: {note}")
    if found.standing is Standing.MISSING and not judge:
        return missing(found.evidence, f"{row.today}, and note it under readiness.covered")
    return found


def _finding(row: Row, judged: Judgement) -> Finding:
    return Finding(
        rule=row.name,
        priority=row.priority,
        title=row.title,
        standing=judged.standing,
        evidence=judged.evidence,
        at=judged.at,
        fix=judged.fix,
    )
