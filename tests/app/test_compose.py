"""The composition root: what a file becomes."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

import pytest

from mainstay.app import open_app
from mainstay.app.compose import dashboard_url, jobs_of
from mainstay.app.logs import JsonLines, Lines
from mainstay.app.plan import plan_of
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.check import Result, Verdict
from mainstay.core.errors import ConfigError
from mainstay.core.run import Run, RunState
from mainstay.core.secret import Secret
from mainstay.incidents.from_run import key_of
from mainstay.playbooks.heal import HealPorts
from mainstay.store import incidents, runs
from mainstay.store.base import Tx

FILE = """
name: shop
title: The Shop
timezone: Asia/Manila
state_dir: state
services:
  web:
    title: Web site
    critical: true
    runs_on: {process: {command: [serve, "--port", "1"], env: {TOKEN: {secret: token}}}}
    checks: [{http: "http://127.0.0.1:1/"}, {tcp: {address: "127.0.0.1:1", name: port, every: 7s}}]
    heal: restart
  plain: {runs_on: "systemd:plain.service", checks: [{redis: {secret: redis_url}}]}
databases:
  main: {dsn: {secret: dsn}, backup: {to: vault, at: "15 3 * * *", prove: "0 5 * * 0"}}
  left: {dsn: {secret: dsn}}
storage: {vault: {directory: vault}}
notify: {slack: {url: {secret: slack_url}, when: critical}}
"""

SECRETS = {
    "MAINSTAY_TOKEN": "tok-very-secret",
    "MAINSTAY_REDIS_URL": "redis://:red-secret@127.0.0.1:1/0",
    "MAINSTAY_DSN": "postgresql://u:pg-secret@127.0.0.1:1/main",
    "MAINSTAY_SLACK_URL": "https://hooks.example.com/services/slack-secret",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "mainstay.yaml").write_text(FILE)
    return load(tmp_path / "mainstay.yaml", environ=SECRETS)


def test_every_database_gets_its_jobs_and_the_journal_its_own(config: Config) -> None:
    jobs = jobs_of(config)
    of_main = {"backup:main", "prove:main", "verify:main", "prune:main"}
    assert {*of_main, "heal:web", "health_check", "journal_backup", "journal_prune"} == set(jobs)
    assert jobs["backup:main"].schedule("Asia/Manila").explain() == "At 03:15 every day (Asia/Manila)"
    assert jobs["prove:main"].at == "0 5 * * 0"


def test_a_journal_in_postgresql_has_no_nightly_copy_that_can_only_fail(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    for journal, copied in (("postgresql://db.example.com/m", False), ("sqlite:///here.db", True)):
        file.write_text(f"name: x\njournal: {journal}\n")
        assert ("journal_backup" in jobs_of(load(file))) is copied
    file.write_text("name: x\njournal: {secret: url}\n")
    assert "journal_backup" not in jobs_of(load(file, secrets=False))


async def test_a_certificate_or_a_full_disk_restarts_nothing(tmp_path: Path) -> None:
    checks = "[{certificate: '127.0.0.1:1'}, {disk: /}, {tcp: '127.0.0.1:1'}]"
    service = f"{{checks: {checks}, heal: restart, runs_on: 'systemd:web'}}"
    (tmp_path / "mainstay.yaml").write_text(f"name: x\nstate_dir: state\nservices: {{web: {service}}}\n")
    async with open_app(load(tmp_path / "mainstay.yaml")) as app:
        for name in ("certificate", "disk", "tcp"):
            failed = Result(f"web/{name}", "web", Verdict.FAIL, "bad", app.clock.now(), confirmed=True)
            await app.recorder.record([failed])
            queued = await app.store.read(lambda tx: runs.latest(tx, "heal:web"))
            assert len(queued) == (1 if name == "tcp" else 0)
        assert [answer.check for answer in await app.port(HealPorts).probe("web")] == ["web/tcp"]


def test_the_dashboards_plan_holds_no_secret(config: Config) -> None:
    plan = plan_of(config, jobs_of(config))
    text = json.dumps(asdict(plan), default=str)
    for secret in ("tok-very", "red-secret", "pg-secret", "slack-secret"):
        assert secret not in text
    web, plain = plan.services
    assert (web.title, web.critical, web.runs_on, web.attempts) == (
        "Web site",
        True,
        "process serve --port 1",
        3,
    )
    assert [check.id for check in web.checks] == ["web/http", "web/port"]
    assert [check.every for check in web.checks] == [30.0, 7.0]
    assert plain.runs_on == "systemd plain.service"
    assert plan.databases[0].backup_job == "backup:main"
    assert plan.databases[1].backup_job is None
    assert plan.channels[0].when == "critical"


def test_a_job_may_not_take_the_name_of_another_kind(config: Config) -> None:
    taken = config.model_copy(update={"jobs": {"journal_backup": jobs_of(config)["journal_prune"]}})
    with pytest.raises(ConfigError, match="belongs to a job"):
        jobs_of(taken)


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ("{listen: '127.0.0.1:9000'}", "http://127.0.0.1:9000"),
        ("{listen: '0.0.0.0:9000'}", "http://localhost:9000"),
        ("{listen: '127.0.0.1:9000', url: 'https://ops.example.com'}", "https://ops.example.com"),
    ],
)
def test_links_lead_to_the_dashboard(tmp_path: Path, web: str, address: str) -> None:
    (tmp_path / "mainstay.yaml").write_text(f"name: x\nweb: {web}\n")
    assert dashboard_url(load(tmp_path / "mainstay.yaml")) == address


async def test_a_newer_proven_backup_ends_the_incident_of_a_damaged_one(config: Config) -> None:
    async with open_app(config) as app:

        def tell(tx: Tx, ended: Run) -> None:
            for hook in app.runner._hooks:
                hook(tx, ended)

        def run(job: str, state: RunState, **outcome: bool) -> Run:
            return Run(
                "r",
                job,
                "k",
                state,
                0.0,
                error="damaged" if state is RunState.FAILED else None,
                outcome=outcome,
            )

        await app.store.write(lambda tx: tell(tx, run("prove:main", RunState.FAILED)))
        damaged = await app.store.read(lambda tx: incidents.live_of(tx, key_of("prove:main")))
        assert damaged is not None
        assert damaged.severity.value == "critical"
        await app.store.write(lambda tx: tell(tx, run("backup:main", RunState.DONE, proven=False)))
        assert await app.store.read(lambda tx: incidents.live_of(tx, key_of("prove:main")))
        await app.store.write(lambda tx: tell(tx, run("backup:main", RunState.DONE, proven=True)))
        assert await app.store.read(lambda tx: incidents.live_of(tx, key_of("prove:main"))) is None


async def test_results_become_incidents_with_the_services_title_and_severity(config: Config) -> None:
    async with open_app(config) as app:
        now = app.clock.now()
        refused = Result("web/http", "web", Verdict.FAIL, "connection refused", now, confirmed=True)
        await app.recorder.record([refused])
        (found,) = await app.store.read(incidents.live)
        assert found.title == "Web site fails its http check"
        assert found.severity.value == "critical"


def test_log_lines_mask_secrets_in_both_forms() -> None:
    Secret("token", "hush-hush-9")
    try:
        raise ValueError("hush-hush-9")
    except ValueError as fault:
        info = (type(fault), fault, fault.__traceback__)
    record = logging.LogRecord("mainstay.x", logging.ERROR, "f", 1, "said %s", ("hush-hush-9",), info)
    plain = Lines("agent").format(record)
    assert "hush" not in plain
    assert "agent ERROR said ********" in plain
    document = json.loads(JsonLines("agent").format(record))
    assert document["message"] == "said ********"
    assert "hush" not in document["traceback"]
