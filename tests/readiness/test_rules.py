"""Each row of the scorecard: what it takes to be missing, configured, running or proven."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.finding import Finding, Priority, Standing
from mainstay.readiness.assess import assess, ready, score
from mainstay.readiness.evidence import Done, Evidence
from mainstay.readiness.matrix import MATRIX
from mainstay.readiness.rules import RULES
from mainstay.readiness.setup import (
    ChannelFacts,
    CheckFacts,
    DatabaseFacts,
    ServiceFacts,
    Setup,
    StorageFacts,
)
from mainstay.readiness.upkeep import UPKEEP
from mainstay.store.certificates import Certificate
from mainstay.store.gateway import Totals
from mainstay.store.inbox_delivery import Delivery

NOW = 1_780_000_000.0
HOUR, DAY = 3600.0, 86400.0
MISSING, CONFIGURED, RUNNING, PROVEN = Standing

WEB = CheckFacts("web/http", "http", 30.0)
DISK = CheckFacts("web/disk", "disk", 60.0)
CERTIFICATE = CheckFacts("web/certificate", "certificate", HOUR)
SERVICE = ServiceFacts(
    "web", "Web", critical=True, runs_on="docker:web", heals=True, checks=(WEB, DISK, CERTIFICATE)
)
HERE = StorageFacts("here", "directory", "directory /backups", elsewhere=False)
FAR = StorageFacts("far", "s3", "s3://backups", elsewhere=True)
FILES = DatabaseFacts("files", ("far",), kind="directory", rows="entries")
FULL = Setup(
    name="shop",
    title="Shop",
    services=(SERVICE,),
    databases=(DatabaseFacts("erp", ("far",)),),
    storages=(FAR,),
    channels=(ChannelFacts("slack", "slack", "always"), ChannelFacts("pager", "pagerduty", "critical")),
    listen="127.0.0.1:8420",
    sources=("bank",),
    certificates=("shop.test",),
    routes=("api",),
)
SERVED = Certificate("shop.test", not_after=NOW + 40 * DAY, served_at=NOW - HOUR, looked_at=NOW - HOUR)
ANSWERS = {WEB.id: NOW - 5, DISK.id: NOW - 20, CERTIFICATE.id: NOW - 600}
VERDICT = {"verdict": "proven", "summary": "equal", "at": NOW - DAY, "rows": 1200, "tables": 3}
GOOD = Evidence(
    proofs={"erp": NOW - DAY},
    verdicts={"erp": VERDICT},
    backups={("erp", "far"): NOW - DAY},
    answers=ANSWERS,
    caught={"title": "Web fails", "failed_at": NOW - 3 * DAY - 2, "opened_at": NOW - 3 * DAY},
    healed={"title": "Web fails", "opened_at": NOW - 3 * DAY, "resolved_at": NOW - 3 * DAY + 9},
    accepted={"slack": NOW - DAY, "pager": NOW - DAY},
    accepted_critical={"pager": NOW - 2 * DAY},
    done={"journal_backup": NOW - HOUR},
    deliveries={"bank": Delivery("bank", delivered=1200, delivered_at=NOW - HOUR)},
    arrived={"bank": NOW - HOUR},
    saved_at=NOW - DAY,
    certificates={"shop.test": SERVED},
    gateway_at=NOW - 4,
    traffic=Totals(9000, 20, 3, NOW - 60, NOW - DAY),
    hosts=("a", "b"),
    accounts=1,
)


CONDITIONAL = ("gateway", "webhooks", "any_moment")
"""Rows that are there only where something of their kind is configured."""


def judged(row: str, setup: Setup = FULL, evidence: Evidence = GOOD) -> Finding:
    return next(finding for finding in assess(setup, evidence, NOW) if finding.rule == row)


def but(evidence: Evidence = GOOD, **changes: Any) -> Evidence:
    from dataclasses import replace

    return replace(evidence, **changes)


def served(**changes: Any) -> Evidence:
    from dataclasses import replace

    return but(certificates={"shop.test": replace(SERVED, **changes)})


def test_a_company_with_evidence_for_everything() -> None:
    found = {finding.rule: finding.standing for finding in assess(FULL, GOOD, NOW)}
    proven = {"backups", "health_checks", "process_queued_jobs", "critical_alerts", "alerts", "healing"}
    proven |= {"webhooks", "renew_ssl"}
    proven |= {"gateway", "webhooks"}
    running = {
        "backups_elsewhere",
        "certificates",
        "disk_space",
        "journal_backup",
        "watcher",
        "dashboard_login",
    }
    assert {row for row, standing in found.items() if standing is PROVEN} == proven
    assert {row for row, standing in found.items() if standing is RUNNING} == running


def test_nothing_at_all() -> None:
    findings = assess(Setup("x", "x"), Evidence(), NOW)
    assert [finding.rule for finding in findings if finding.standing is not MISSING] == [
        "journal_backup",
        "machine_time",
        "dashboard_login",
    ]
    assert not ready(findings)
    assert score(findings) == 5


@pytest.mark.parametrize(
    ("row", "setup", "evidence", "standing", "words"),
    [
        ("backups", FULL._replace(databases=()), GOOD, MISSING, "no database is configured"),
        ("backups", FULL._replace(databases=(DatabaseFacts("erp"),)), GOOD, MISSING, "no backup of erp"),
        ("backups", FULL, but(backups={}), CONFIGURED, "no backup of erp yet"),
        ("backups", FULL, but(proofs={}), RUNNING, "no proof of erp within 8d"),
        ("backups", FULL, but(proofs={"erp": NOW - 9 * DAY}), RUNNING, "no proof of erp within 8d"),
        (
            "backups",
            FULL,
            but(verdicts={"erp": {**VERDICT, "verdict": "failed", "summary": "table item differs"}}),
            RUNNING,
            "erp: table item differs",
        ),
        ("backups", FULL, GOOD, PROVEN, "1 database: 1,200 rows restored and compared"),
        (
            "backups",
            FULL._replace(databases=(*FULL.databases, FILES)),
            GOOD,
            CONFIGURED,
            "no backup of files yet",
        ),
        (
            "backups",
            FULL._replace(databases=(*FULL.databases, FILES)),
            but(backups={**GOOD.backups, ("files", "far"): NOW}),
            RUNNING,
            "no proof of files within 8d",
        ),
        (
            "backups",
            FULL._replace(databases=(*FULL.databases, FILES)),
            but(
                backups={**GOOD.backups, ("files", "far"): NOW},
                proofs={**GOOD.proofs, "files": NOW},
                verdicts={**GOOD.verdicts, "files": VERDICT},
            ),
            PROVEN,
            "1 database and 1 other kind of data: 2,400 rows and entries restored and compared",
        ),
        (
            "backups_elsewhere",
            FULL._replace(storages=(HERE,), databases=(DatabaseFacts("erp", ("here",)),)),
            but(backups={("erp", "here"): NOW}),
            MISSING,
            "this machine only: directory /backups",
        ),
        ("backups_elsewhere", FULL, but(backups={("erp", "here"): NOW}), CONFIGURED, "none of erp there yet"),
        ("backups_elsewhere", FULL, GOOD, RUNNING, "1 database on s3://backups"),
        ("health_checks", FULL._replace(services=()), GOOD, MISSING, "no service is configured"),
        (
            "health_checks",
            FULL._replace(services=(ServiceFacts("db", "db"),)),
            GOOD,
            MISSING,
            "nobody asks about db",
        ),
        ("health_checks", FULL, but(answers={}), CONFIGURED, "no answer of web/http"),
        (
            "health_checks",
            FULL,
            but(answers={**ANSWERS, WEB.id: NOW - HOUR}),
            CONFIGURED,
            "1 check of 3 not answered",
        ),
        ("health_checks", FULL, but(caught=None), RUNNING, "3 checks answered"),
        (
            "health_checks",
            FULL,
            but(caught={**(GOOD.caught or {}), "opened_at": NOW - 40 * DAY}),
            RUNNING,
            "3 checks",
        ),
        ("health_checks", FULL, GOOD, PROVEN, "confirmed 2s after the first failed answer"),
        ("renew_ssl", FULL._replace(certificates=()), GOOD, MISSING, "nothing renews"),
        ("renew_ssl", FULL, but(certificates={}), CONFIGURED, "no valid certificate of shop.test"),
        ("renew_ssl", FULL, served(not_after=NOW - 1), CONFIGURED, "no valid certificate of shop.test"),
        ("renew_ssl", FULL, served(fault="no DNS"), CONFIGURED, "shop.test: no DNS"),
        ("renew_ssl", FULL, served(served_at=NOW - 3 * DAY), RUNNING, "shop.test not seen at the servers"),
        ("renew_ssl", FULL, GOOD, PROVEN, "1 certificate, valid for 40d at least, served at every address"),
        (
            "certificates",
            FULL._replace(services=(SERVICE._replace(checks=(WEB,)),)),
            GOOD,
            MISSING,
            "no certificate",
        ),
        (
            "disk_space",
            FULL._replace(services=(SERVICE._replace(checks=(WEB,)),)),
            GOOD,
            MISSING,
            "no disk check",
        ),
        ("critical_alerts", FULL._replace(channels=()), GOOD, MISSING, "nobody is told"),
        (
            "critical_alerts",
            FULL._replace(services=(SERVICE._replace(critical=False),)),
            GOOD,
            CONFIGURED,
            "no service is critical",
        ),
        ("critical_alerts", FULL, but(accepted_critical={}), CONFIGURED, "pager: nothing has been sent"),
        (
            "critical_alerts",
            FULL,
            but(accepted_critical={"pager": NOW - 60 * DAY}),
            RUNNING,
            "pager accepted",
        ),
        ("critical_alerts", FULL, GOOD, PROVEN, "pager accepted"),
        (
            "alerts",
            FULL._replace(channels=FULL.channels[1:]),
            GOOD,
            MISSING,
            "no channel hears of everything",
        ),
        ("alerts", FULL, but(owed={"slack": {"since": NOW - HOUR}}), CONFIGURED, "messages wait for slack"),
        ("alerts", FULL, but(owed={"slack": {"since": NOW - 2}}), PROVEN, "slack accepted"),
        ("watcher", FULL, but(hosts=("a",)), MISSING, "nobody notices"),
        ("watcher", FULL, GOOD, RUNNING, "agents on a, b"),
        (
            "healing",
            FULL._replace(services=(SERVICE._replace(heals=False),)),
            GOOD,
            MISSING,
            "no service says how",
        ),
        ("healing", FULL, but(healed=None), CONFIGURED, "not been needed yet"),
        (
            "healing",
            FULL,
            but(healed={**(GOOD.healed or {}), "resolved_at": NOW - 99 * DAY}),
            RUNNING,
            "before",
        ),
        ("healing", FULL, GOOD, PROVEN, "over after 9s"),
        ("journal_backup", FULL, but(done={}), CONFIGURED, "not copied yet"),
        (
            "journal_backup",
            FULL,
            but(done={"journal_backup": NOW - 3 * DAY}),
            CONFIGURED,
            "the newest copy is old",
        ),
        ("journal_backup", FULL._replace(journal="postgresql"), GOOD, MISSING, "in PostgreSQL"),
        ("dashboard_login", FULL, but(accounts=0), CONFIGURED, "nobody can log in yet"),
        ("dashboard_login", FULL, but(accounts=2), RUNNING, "2 accounts"),
        ("logs", FULL, GOOD, MISSING, "mainstay does not do this yet"),
        ("logs", FULL._replace(jobs={"ship": "logs"}), GOOD, CONFIGURED, "not been done"),
        ("logs", FULL._replace(jobs={"logs": "command"}), but(done={"logs": NOW - HOUR}), RUNNING, "done"),
        (
            "logs",
            FULL._replace(jobs={"logs": "command"}),
            but(done={"logs": NOW - HOUR}, failed={"logs": {"at": NOW}}),
            CONFIGURED,
            "its last run failed",
        ),
        ("gateway", FULL, GOOD, PROVEN, "9,000 requests admitted, 23 turned away within a month"),
        ("gateway", FULL, but(gateway_at=NOW - HOUR), CONFIGURED, "nobody has seen it carry requests lately"),
        ("gateway", FULL, but(gateway_at=None), CONFIGURED, "nobody has seen it"),
        ("gateway", FULL, but(traffic=Totals()), CONFIGURED, "no request was admitted yet"),
        ("gateway", FULL, but(traffic=Totals(5)), RUNNING, "5 requests admitted, 0 turned away"),
        ("webhooks", FULL, GOOD, PROVEN, "was not taken at first was brought later"),
        ("webhooks", FULL, but(saved_at=NOW - 40 * DAY), RUNNING, "1 source; the newest proven webhook"),
        ("webhooks", FULL, but(dead={"bank": 2}), RUNNING, "dead letters of bank"),
        ("webhooks", FULL, but(arrived={}, deliveries={}), CONFIGURED, "no webhook has come yet"),
        ("webhooks", FULL._replace(sources=(), kept=("bank",)), but(saved_at=None), RUNNING, "1 source"),
        (
            "logs",
            FULL._replace(jobs={"logs": "command"}),
            but(done={"logs": NOW - 20 * DAY}),
            CONFIGURED,
            "not done lately",
        ),
    ],
)
def test_a_row(row: str, setup: Setup, evidence: Evidence, standing: Standing, words: str) -> None:
    finding = judged(row, setup, evidence)
    assert (finding.standing, words in finding.evidence) == (standing, True), finding


@pytest.mark.parametrize("row", MATRIX)
def test_a_note_makes_a_missing_row_configured_and_never_more(row: str) -> None:
    bare = Setup("x", "x", journal="postgresql")
    finding = judged(row, bare._replace(covered={row: "certbot timer on web1"}), Evidence())
    assert finding.standing is CONFIGURED
    if row in CONDITIONAL or judged(row, bare, Evidence()).standing is MISSING:
        assert finding.evidence == "covered elsewhere: certbot timer on web1"


@pytest.mark.parametrize("row", CONDITIONAL)
def test_a_row_that_does_not_concern_the_setup_is_left_out(row: str) -> None:
    assert row not in {finding.rule for finding in assess(Setup("x", "x"), GOOD, NOW)}
    assert row in {
        finding.rule
        for finding in assess(FULL._replace(databases=(DatabaseFacts("erp", ("far",), "far"),)), GOOD, NOW)
    }


@pytest.mark.parametrize("row", sorted(RULES))
def test_a_note_never_hides_what_is_known_better(row: str) -> None:
    noted = FULL._replace(covered=dict.fromkeys(MATRIX, "somebody does it somewhere"))
    assert judged(row, noted) == judged(row)


def test_every_row_is_judged_or_says_how_to_cover_it_today() -> None:
    for row in MATRIX.values():
        assert row.name in RULES or row.name in UPKEEP or row.today, row
    for finding in assess(Setup("x", "x"), Evidence(), NOW):
        assert finding.fix or finding.standing is not MISSING, finding


def test_the_worst_of_the_most_important_comes_first() -> None:
    findings = assess(FULL, GOOD, NOW)
    keys = [(finding.priority, list(Standing).index(finding.standing)) for finding in findings]
    assert keys == sorted(keys)


@given(st.lists(st.tuples(st.sampled_from(Priority), st.sampled_from(Standing))))
def test_the_score_counts_p0_and_p1(rows: list[tuple[Priority, Standing]]) -> None:
    findings = [Finding("r", priority, "t", standing, "e") for priority, standing in rows]
    counted = [standing for priority, standing in rows if priority in ("P0", "P1")]
    assert 0 <= score(findings) <= 100
    assert (score(findings) == 100) == (MISSING not in counted)
    assert ready(findings) == ((Priority.P0, MISSING) not in rows)


def test_facts_survive_the_cache() -> None:
    setup = FULL._replace(databases=(*FULL.databases, FILES))
    assert Setup.from_json(setup.to_json()) == setup


def test_queued_work_is_proven_by_what_was_delivered() -> None:
    row, sources = "process_queued_jobs", FULL._replace(sources=("bank", "shop"))
    assert judged(row, FULL._replace(sources=())).standing is MISSING
    assert judged(row, sources, but(deliveries={})).standing is CONFIGURED
    delivered = {"bank": Delivery("bank", delivered=1200, delivered_at=NOW - HOUR)}
    found = judged(row, sources, but(deliveries=delivered))
    assert (found.standing, found.evidence) == (PROVEN, "1,200 webhooks delivered, none waits")
    assert judged(row, sources, but(deliveries=delivered, waiting={"shop": NOW - 60})).standing is PROVEN
    waits = judged(row, sources, but(deliveries=delivered, waiting={"shop": NOW - HOUR}))
    assert (waits.standing, waits.evidence) == (CONFIGURED, "webhooks of shop wait")
    old = {"bank": Delivery("bank", delivered=5, delivered_at=NOW - 40 * DAY)}
    assert judged(row, sources, but(deliveries=old)).standing is RUNNING


@pytest.mark.parametrize(
    ("last", "failed", "standing"),
    [
        (None, {}, CONFIGURED),
        (Done(NOW - HOUR, "nothing waits", {"depths": []}), {}, PROVEN),
        (Done(NOW - 2 * DAY, "nothing waits", {"depths": []}), {}, CONFIGURED),
        (Done(NOW - HOUR, "nothing waits", {"depths": []}), {"sweep": {"at": NOW}}, CONFIGURED),
        (Done(NOW - HOUR, "a command of one's own", {"code": 0}), {}, RUNNING),
    ],
)
def test_queued_work_without_webhooks_is_proven_by_the_sweep(
    last: Done | None, failed: dict[str, Any], standing: Standing
) -> None:
    setup = FULL._replace(sources=(), jobs={"sweep": "process_queued_jobs"})
    known = but(last={"sweep": last} if last else {}, done={"sweep": last.at} if last else {}, failed=failed)
    assert judged("process_queued_jobs", setup, known).standing is standing


def test_checks_that_are_asked_by_the_clock_are_fresh_from_round_to_round() -> None:
    setup = FULL._replace(jobs={"health_check": "health_check"})
    late = but(answers={check.id: NOW - 290 for check in FULL.checks()}, caught=None, done={})
    assert judged("health_checks", setup, late).standing is CONFIGURED
    swept = but(answers=late.answers, caught=None, done={"health_check": NOW - 290})
    assert judged("health_checks", setup, swept).standing is RUNNING
