"""The configuration, checked, explained and described by the command; and a journal in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mainstay.core.run import RunState
from tests.cli import scenes
from tests.cli.conftest import Cli, Company
from tests.journals import postgres_url
from tests.servers.postgres import PostgresServer


def test_a_right_file_is_summed_up(company: Company, cli: Cli) -> None:
    said = cli("config", "check", "--no-secrets")
    assert (said.code, said.err) == (0, "")
    assert said.out == "mainstay.yaml is fine: 2 services, 3 checks, 1 database, 7 jobs\n"
    data = cli("config", "check", str(company.file), "--no-secrets", "--json").data
    assert (data["ok"], data["checks"], data["jobs"]) == (True, 3, 7)
    missing = cli("config", "check")
    assert (missing.code, "secret erp_dsn is missing" in missing.err) == (2, True)


def test_a_secret_file_that_everybody_reads_is_warned_of(
    company: Company, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = company.home / "dsn"
    secret.write_text("postgresql://localhost/erp\n")
    secret.chmod(0o644)
    monkeypatch.setenv("MAINSTAY_ERP_DSN_FILE", str(secret))
    said = cli("config", "check")
    assert said.code == 0
    assert (
        said.err
        == f"mainstay: everybody on this machine can read secret erp_dsn (hint: chmod 600 {secret})\n"
    )


def test_what_is_in_force_is_explained_with_the_next_due_times(company: Company, cli: Cli) -> None:
    said = cli("config", "explain")
    assert said.code == 0
    assert "title: The Shop\n" in said.out
    assert "warn_after: 5m  (default)" in said.out
    assert "When jobs are due  times in UTC" in said.out
    due = next(line for line in said.out.splitlines() if line.startswith("  backup:erp"))
    assert due.count("02:00") == 4
    assert "At 02:00 every day (UTC)" in due
    part = cli("config", "explain", "services.web", "--given").out
    assert "critical: true" in part
    assert "default" not in part
    assert "redis" not in part
    data = cli("config", "explain", "--json").data
    assert len(data["schedules"]["backup:erp"]["next"]) == 3
    assert {"option": "name", "value": "shop", "given": True, "note": ""} in data["options"]


def test_the_schema_is_printed(cli: Cli) -> None:
    assert cli("config", "schema").data["$schema"].endswith("2020-12/schema")


def test_a_dry_run_for_programs(company: Company, cli: Cli) -> None:
    data = cli("run", "backup:erp", "--dry-run", "--json").data
    assert data["type"] == "backup_postgres"
    assert {"take", "prove"} <= set(data["steps"])


@pytest.fixture
def distant(company: Company, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    """A company whose journal is in PostgreSQL, behind a secret."""
    company.write(f"journal: {{secret: journal_url}}\n{company.file.read_text()}")
    for url in postgres_url(postgres):
        monkeypatch.setenv("MAINSTAY_JOURNAL_URL", url)
        yield company


def test_commands_look_at_a_journal_in_postgresql_too(distant: Company, cli: Cli, now: float) -> None:
    def write(unit: scenes.Unit) -> None:
        from mainstay.cli.context import Context
        from mainstay.cli.output import Output

        Context(Output()).change(unit)

    write(
        scenes.together(
            scenes.alive(now),
            scenes.answers(now),
            scenes.backup(now),
            scenes.incident(now),
            scenes.run_of(now, "01runaaa", "backup:erp", RunState.DONE),
        )
    )
    status = cli("status", "--json")
    assert status.data["services"][0]["p95"] == pytest.approx(0.28)
    assert "34,567 rows restored and compared" in cli("check").out
    assert "the journal is kept in PostgreSQL" in cli("check").out
    assert "came to the end" in cli("logs", "aaa").out
    assert "1 done" in cli("jobs").out
    assert "restart web" in cli("incidents", "show", "aaaa1").out
    assert "proven 1h ago" in cli("backup", "list").out


def test_a_journal_that_cannot_be_reached(company: Company, cli: Cli) -> None:
    company.write(f"journal: postgresql://nobody@127.0.0.1:9/none\n{company.file.read_text()}")
    said = cli("status")
    assert (said.code, said.out) == (3, "")
    assert said.err.count("\n") == 1
    assert "hint: " in said.err
