"""Rows about upkeep: what a run said of itself decides."""

from __future__ import annotations

from typing import Any

import pytest

from mainstay.core.finding import Finding, Standing
from mainstay.readiness.assess import assess
from mainstay.readiness.evidence import Done, Evidence
from mainstay.readiness.setup import DatabaseFacts, Setup

NOW = 1_780_000_000.0
DAY = 86400.0


def judged(row: str, jobs: dict[str, str], last: Done | None = None, **evidence: Any) -> Finding:
    name = next(iter(jobs), row)
    known = Evidence(last={name: last}, done={name: last.at}, **evidence) if last else Evidence(**evidence)
    return next(one for one in assess(Setup("x", "x", jobs=jobs), known, NOW) if one.rule == row)


@pytest.mark.parametrize(
    ("jobs", "last", "standing", "words"),
    [
        ({}, None, Standing.MISSING, "no job cleans up"),
        ({"tidy": "cleanup_temp_files"}, None, Standing.CONFIGURED, "not been done"),
        (
            {"tidy": "cleanup_temp_files"},
            Done(NOW - DAY, "rehearsal, nothing was deleted", {"rehearsal": True}),
            Standing.CONFIGURED,
            "rehearsal",
        ),
        (
            {"tidy": "cleanup_temp_files"},
            Done(NOW - DAY, "3 GB came free; 10m were up", {"rehearsal": False, "in_time": False}),
            Standing.RUNNING,
            "10m were up",
        ),
        (
            {"tidy": "cleanup_temp_files"},
            Done(NOW - DAY, "3 GB came free: 12 files", {"rehearsal": False, "in_time": True}),
            Standing.PROVEN,
            "3 GB came free",
        ),
        (
            {"tidy": "cleanup_temp_files"},
            Done(NOW - 9 * DAY, "3 GB came free: 12 files", {}),
            Standing.CONFIGURED,
            "not done lately",
        ),
        ({"cleanup_temp_files": "command"}, Done(NOW - DAY, "ok", {}), Standing.RUNNING, "done"),
    ],
)
def test_cleaning_up_is_proven_by_what_came_free(
    jobs: dict[str, str], last: Done | None, standing: Standing, words: str
) -> None:
    finding = judged("cleanup_temp_files", jobs, last)
    assert (finding.standing, words in finding.evidence) == (standing, True), finding


@pytest.mark.parametrize(
    ("jobs", "last", "standing", "words"),
    [
        ({}, None, Standing.MISSING, "nothing looks for"),
        ({"security_patches": "security_patches"}, None, Standing.CONFIGURED, "not been done"),
        (
            {"security_patches": "security_patches"},
            Done(NOW - DAY, "nothing is missing, 1 unknown", {"clean": False}),
            Standing.RUNNING,
            "1 unknown",
        ),
        (
            {"patch": "security_patches"},
            Done(NOW - DAY, "2 security updates applied, nothing is missing", {"clean": True}),
            Standing.PROVEN,
            "2 security updates applied",
        ),
        (
            {"patch": "security_patches"},
            Done(NOW - 4 * DAY, "nothing is missing", {"clean": True}),
            Standing.CONFIGURED,
            "not done lately",
        ),
        ({"security_patches": "command"}, Done(NOW - DAY, "ok", {}), Standing.RUNNING, "done"),
    ],
)
def test_patches_are_proven_only_when_everything_was_looked_at(
    jobs: dict[str, str], last: Done | None, standing: Standing, words: str
) -> None:
    finding = judged("security_patches", jobs, last)
    assert (finding.standing, words in finding.evidence) == (standing, True), finding


@pytest.mark.parametrize(
    ("taken", "proof", "standing", "words"),
    [
        (None, None, Standing.CONFIGURED, "no base backup of shop yet"),
        (NOW - DAY, None, Standing.RUNNING, "no moment of shop was restored lately"),
        (NOW - DAY, Done(NOW - 9 * DAY, "shop restored", {"proven": True}), Standing.RUNNING, "lately"),
        (
            NOW - DAY,
            Done(NOW - DAY, "markers not looked at", {"proven": False}),
            Standing.RUNNING,
            "not looked at",
        ),
        (
            NOW - DAY,
            Done(NOW - DAY, "shop restored in 9s", {"proven": True}),
            Standing.PROVEN,
            "restored in 9s",
        ),
    ],
)
def test_any_moment_is_proven_by_a_restore(
    taken: float | None, proof: Done | None, standing: Standing, words: str
) -> None:
    setup = Setup(
        "x", "x", databases=(DatabaseFacts("shop", (), "vault"), DatabaseFacts("other", ("vault",)))
    )
    done = {"base_backup:shop": taken} if taken else {}
    known = Evidence(last={"prove_log:shop": proof} if proof else {}, done=done)
    found = next(one for one in assess(setup, known, NOW) if one.rule == "any_moment")
    assert (found.standing, words in found.evidence) == (standing, True), found


def test_any_moment_failed_its_proof() -> None:
    setup = Setup("x", "x", databases=(DatabaseFacts("shop", (), "vault"),))
    failed = {
        "prove_log:shop": {"job": "prove_log:shop", "at": NOW - 1, "error": "2 marker rows are missing"}
    }
    known = Evidence(done={"base_backup:shop": NOW - DAY}, failed=failed)
    found = next(one for one in assess(setup, known, NOW) if one.rule == "any_moment")
    assert (found.standing, "2 marker rows" in found.evidence) == (Standing.RUNNING, True)


def test_a_company_that_keeps_no_log_is_not_asked_for_it() -> None:
    rules = [one.rule for one in assess(Setup("x", "x"), Evidence(), NOW)]
    assert "any_moment" not in rules


@pytest.mark.parametrize(
    ("jobs", "last", "standing", "words"),
    [
        ({}, None, Standing.MISSING, "nothing keeps"),
        ({"tune": "optimize_database"}, None, Standing.CONFIGURED, "not been done"),
        (
            {"tune": "optimize_database"},
            Done(NOW - 9 * DAY, "3 vacuumed", {"in_time": True}),
            Standing.CONFIGURED,
            "not done lately",
        ),
        (
            {"tune": "optimize_database"},
            Done(NOW - DAY, "3 vacuumed; 30m were up", {"in_time": False}),
            Standing.RUNNING,
            "30m were up",
        ),
        (
            {"tune": "optimize_database"},
            Done(NOW - DAY, "1 for people to look at", {"in_time": True, "critical": 1}),
            Standing.RUNNING,
            "for people",
        ),
        (
            {"tune": "optimize_database"},
            Done(NOW - DAY, "3 vacuumed", {"in_time": True, "critical": 0}),
            Standing.PROVEN,
            "3 vacuumed",
        ),
        ({"optimize_database": "command"}, Done(NOW - DAY, "ok", {}), Standing.RUNNING, "done"),
    ],
)
def test_databases_are_kept_in_shape_when_a_run_came_to_its_end(
    jobs: dict[str, str], last: Done | None, standing: Standing, words: str
) -> None:
    finding = judged("optimize_database", jobs, last)
    assert (finding.standing, words in finding.evidence) == (standing, True), finding


@pytest.mark.parametrize(
    ("worked", "standing", "words"),
    [
        ({}, Standing.CONFIGURED, "no job has run"),
        ({"backup:erp": 3600.0, "prove:erp": 1800.4}, Standing.PROVEN, "1h 30m of 2h a week"),
        ({"backup:erp": 7000.0, "prove:erp": 1400.0}, Standing.RUNNING, "2h 20m of 2h a week"),
    ],
)
def test_the_time_of_a_week_is_held_against_its_budget(
    worked: dict[str, float], standing: Standing, words: str
) -> None:
    finding = judged("machine_time", {}, worked=worked)
    assert (finding.standing, words in finding.evidence) == (standing, True), finding
    assert ("backup:erp" in (finding.fix or "")) == (standing is Standing.RUNNING)
