"""Commands that only look at the journal."""

from __future__ import annotations

import threading

import pytest

from mainstay.core.incident import IncidentState
from mainstay.core.run import Run, RunState
from mainstay.store import runs
from mainstay.store.backups import BackupState
from mainstay.store.base import Tx
from tests.cli import scenes
from tests.cli.conftest import Cli, Company


def test_status_when_all_is_well(company: Company, cli: Cli, now: float) -> None:
    company.change(scenes.together(scenes.alive(now), scenes.answers(now), scenes.backup(now)))
    said = cli("status")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("The Shop  All is well  (agent wrote ")
    assert "●  web      ok" in said.out
    assert "34,567 rows compared" in said.out


def test_status_when_something_fails(company: Company, cli: Cli, now: float) -> None:
    company.change(
        scenes.together(
            scenes.alive(now), scenes.answers(now, http="fail", redis="warn"), scenes.incident(now)
        )
    )
    said = cli("status")
    assert said.code == 1
    assert said.out.splitlines()[0].startswith("The Shop  Web shop fails")
    lines = [line for line in said.out.splitlines() if line.startswith(("  ✖", "  ▲", "  ●"))]
    assert lines[0].split()[1:3] == ["web", "fails"]
    assert lines[1].split()[1:3] == ["redis", "warns"]
    assert "Open incidents" in said.out
    assert "never taken" in said.out


def test_status_does_not_call_well_what_was_never_backed_up(company: Company, cli: Cli, now: float) -> None:
    company.change(scenes.together(scenes.alive(now), scenes.answers(now)))
    said = cli("status")
    assert said.code == 0
    assert said.out.startswith("The Shop  Every service is fine; never backed up: erp  (agent wrote ")


def test_status_does_not_call_well_what_nobody_watches(company: Company, cli: Cli, now: float) -> None:
    company.write("name: shop\nstate_dir: .\n")
    company.change(scenes.alive(now))
    said = cli("status")
    assert (said.code, said.out.startswith("shop  No service is watched  (agent wrote ")) == (0, True)


def test_status_says_when_what_it_knows_is_old(company: Company, cli: Cli, now: float) -> None:
    company.change(scenes.together(scenes.alive(now, age=7300), lambda tx: None))
    said = cli("status")
    assert said.code == 3
    assert "Nobody knows: the agent last wrote 2h ago" in said.out


def test_status_before_anything_was_measured(company: Company, cli: Cli) -> None:
    company.change(lambda tx: None)
    said = cli("status")
    assert (said.code, "Nothing has been measured yet" in said.out) == (3, True)


def test_status_of_one_service_shows_its_checks(company: Company, cli: Cli, now: float) -> None:
    company.change(scenes.together(scenes.alive(now), scenes.answers(now)))
    said = cli("status", "web")
    assert "http" in said.out
    assert "tcp" in said.out
    assert "redis" not in said.out
    said = cli("status", "wbe")
    assert (said.code, "did you mean web?" in said.err) == (2, True)


def test_status_for_programs(company: Company, cli: Cli, now: float) -> None:
    company.change(
        scenes.together(
            scenes.alive(now), scenes.answers(now, http="fail"), scenes.incident(now), scenes.backup(now)
        )
    )
    said = cli("--json", "status")
    assert said.code == 1
    web = said.data["services"][0]
    assert (web["name"], web["state"], web["critical"]) == ("web", "fail", True)
    assert [check["id"] for check in web["checks"]] == ["web/http", "web/tcp"]
    assert web["p95"] == pytest.approx(0.28)
    assert said.data["agent"]["stale"] is False
    assert said.data["incidents"][0]["id"] == scenes.INCIDENT.id
    assert said.data["backups"][0]["last_verdict"] == "proven"


@pytest.mark.parametrize("command", ["status", "check", "jobs", "incidents", "silence", "backup list"])
def test_without_a_journal_nothing_can_be_known(company: Company, cli: Cli, command: str) -> None:
    said = cli(*command.split())
    assert (said.code, said.out) == (3, "")
    assert (
        said.err == f"mainstay: there is no journal yet at {company.journal} (hint: mainstay up begins one)\n"
    )


def test_somebody_elses_file_is_no_journal(company: Company, cli: Cli) -> None:
    company.journal.parent.mkdir()
    company.journal.write_bytes(b"not a database, but long enough to be taken for one" * 20)
    said = cli("status")
    assert said.code == 3
    assert "cannot be read" in said.err
    company.journal.write_bytes(b"")
    assert "is not a journal of mainstay" in cli("status").err


def test_a_journal_of_another_age(company: Company, cli: Cli, now: float) -> None:
    from mainstay.store import meta

    company.change(scenes.together(scenes.alive(now), scenes.answers(now)))
    company.change(lambda tx: meta.put(tx, "schema", "9999"))
    said = cli("status")
    assert (said.code, "knows schemas up to" in said.err) == (3, True)


def test_the_scorecard_says_no_and_why(company: Company, cli: Cli, now: float) -> None:
    company.change(scenes.together(scenes.alive(now), scenes.answers(now), scenes.backup(now)))
    said = cli("check")
    assert said.code == 1
    assert "P0 missing" in said.out
    assert "34,567 rows restored and compared" in said.out
    assert "covered elsewhere: certbot timer on web1" in said.out
    assert "P2" not in said.out
    assert "P3  later" in cli("check", "--all").out
    data = cli("check", "--json").data
    assert (data["ready"], 0 < data["score"] < 100) == (False, True)
    backups = next(finding for finding in data["findings"] if finding["rule"] == "backups")
    assert (backups["standing"], backups["priority"], backups["at"]) == (
        "proven",
        "P0",
        pytest.approx(now - 3600),
    )


def test_the_scorecard_says_yes_when_no_p0_row_is_missing(company: Company, cli: Cli, now: float) -> None:
    rows = ("renew_ssl", "security_patches", "backups_elsewhere", "critical_alerts")
    notes = ", ".join(f"{row}: somebody else does it" for row in rows)
    company.write(company.file.read_text().replace("renew_ssl: certbot timer on web1", notes))
    company.change(scenes.together(scenes.alive(now), scenes.answers(now), scenes.backup(now)))
    said = cli("check")
    assert (said.code, " ready " in said.out.splitlines()[0]) == (0, True)


def test_jobs_say_when_they_are_due_how_they_went_and_what_was_missed(
    company: Company, cli: Cli, now: float
) -> None:
    daily = {"at": "0 2 * * *", "timezone": "Asia/Manila"}
    company.change(
        scenes.together(
            scenes.schedule(now, "backup:erp", daily, missed=3),
            scenes.schedule(now, "journal_prune", {"every": 3600.0, "timezone": "UTC"}),
            scenes.run_of(now, "01runa", "backup:erp", RunState.FAILED, error="the disk is full"),
            scenes.run_of(now, "01runb", "backup:erp", RunState.FAILED, error="the disk is full"),
            scenes.run_of(now, "01runc", "heal:web", RunState.QUEUED),
        )
    )
    later = Run("01rund", "heal:api", "k", RunState.QUEUED, now + 60, created_at=now)
    said = cli("jobs")
    lines = {
        line.split()[1]: line for line in said.out.splitlines() if line.startswith("  ") and "due" not in line
    }
    assert "at 02:00 every day (Asia/Manila)" in lines["backup:erp"]
    assert "2 failed" in lines["backup:erp"]
    assert "  3  " in lines["backup:erp"]
    below = said.out.splitlines()[said.out.splitlines().index(lines["backup:erp"]) + 1]
    assert below.split() == ["the", "disk", "is", "full"]
    assert "every 1h" in lines["journal_prune"]
    assert "in 59m" in lines["journal_prune"]
    assert "queued" in lines["heal:web"]
    assert "queued, since 1m" in lines["heal:web"]
    company.change(lambda tx: runs.insert(tx, later))
    assert "queued, due in 59s" in cli("jobs").out
    data = {job["job"]: job for job in cli("jobs", "--json").data["jobs"]}
    assert data["backup:erp"]["streak"] == {"state": "failed", "runs": 2}
    week = cli("jobs", "--json").data["week"]
    assert week == {"seconds": sum(job["week_seconds"] for job in data.values()), "budget": 7200.0}
    assert "within a week, of 2h" in cli("jobs").out
    assert cli("status", "--json").data["machine_time"] == week
    assert data["heal:web"]["live"]["state"] == "queued"
    assert "the disk is full" in cli("jobs", "backup:erp").out
    assert len(cli("jobs", "backup:erp", "--json").data["runs"]) == 2
    assert cli("jobs", "nothing").code == 1


def test_logs_of_a_run_by_job_by_identifier_and_by_its_end(company: Company, cli: Cli, now: float) -> None:
    company.change(
        scenes.together(
            scenes.run_of(now, "01runaaa", "backup:erp", RunState.DONE),
            scenes.run_of(now, "01runbbb", "backup:erp", RunState.FAILED, error="the disk is full"),
            scenes.schedule(now, "prove:erp", {"every": 60.0}),
        )
    )
    newest = cli("logs", "backup:erp")
    assert newest.code == 1
    assert "came to the end" in newest.out
    assert newest.out.splitlines()[-1].startswith("✖ failed  the disk is full")
    assert cli("logs", "01runaaa").code == 0
    assert "● done  3 rows" in cli("logs", "aaa").out
    data = cli("logs", "bbb", "--json").data
    assert [line["line"] for line in data["lines"]] == ["began", "went on", "came to the end"]
    assert "never ran yet (hint: mainstay run prove:erp)" in cli("logs", "prove:erp").err
    assert "there is no run zzz" in cli("logs", "zzz").err
    assert "may mean several" in cli("logs", "01run").err


def test_logs_are_followed_to_the_end(company: Company, cli: Cli, now: float) -> None:
    company.change(scenes.run_of(now, "01runaaa", "backup:erp", RunState.QUEUED))

    def end(tx: Tx) -> None:
        runs.add_lines(tx, "01runaaa", [(now, "one more")])
        runs.close(tx, "01runaaa", RunState.DONE, now, summary="all is done")

    ending = threading.Timer(0.7, lambda: company.change(end))
    ending.start()
    said = cli("logs", "backup:erp", "--follow")
    ending.join()
    assert said.code == 0
    assert said.out.count("one more") == 1
    assert "● done  all is done" in said.out


def test_incidents_are_listed_and_shown(company: Company, cli: Cli, now: float) -> None:
    company.change(lambda tx: None)
    assert cli("incidents").out == "no incidents\n"
    resolved = {"id": "01incidentbbbb2", "key": "k", "state": IncidentState.RESOLVED, "resolved_at": now - 9}
    company.change(scenes.together(scenes.incident(now, **resolved), scenes.incident(now)))
    said = cli("incidents")
    assert said.code == 0
    assert said.out.count("Web shop fails its http check") == 2
    assert cli("incidents", "list", "--open").out.count("Web shop") == 1
    assert cli("incidents", "list", "--service", "redis").out == "no incidents\n"
    shown = cli("incidents", "show", "aaaa1").out
    assert "restart web" in shown
    assert "accepted 2s after it happened" in shown
    assert "owed, 0 attempts" in shown
    data = cli("incidents", "show", scenes.INCIDENT.id, "--json").data
    assert [event["kind"] for event in data["events"]] == ["failed", "opened", "action"]
    assert {message["channel"] for message in data["messages"]} == {"pagerduty", "slack"}
    assert len(cli("incidents", "--json").data["incidents"]) == 2
    assert "there is no incident zzz" in cli("incidents", "show", "zzz").err


def test_backups_are_listed_with_their_proofs(company: Company, cli: Cli, now: float) -> None:
    company.change(lambda tx: None)
    assert "no backup yet" in cli("backup", "list").out
    company.change(
        scenes.together(
            scenes.backup(now),
            scenes.backup(now, "01backupbbbb2", BackupState.FAILED),
            scenes.backup(now, "01backupcccc3", None),
        )
    )
    said = cli("backup", "list", "erp")
    table, _, reasons = said.out.partition("\n\n")
    lines = [line.split() for line in table.splitlines()[1:]]
    assert {(line[0], " ".join(line).split("34,567 ")[1].split(" ")[0]) for line in lines} == {
        ("●", "proven"),
        ("✖", "failed"),
        ("○", "taken"),
    }
    [reason] = reasons.splitlines()
    assert reason.split()[0] == "✖"
    assert reason.split()[1].endswith("bbbb2")
    assert "table item differs" in reason
    assert "5.0 MB" in table
    first = cli("backup", "list", "--json").data["backups"][0]
    assert "manifest" not in first
    assert cli("backup", "list", "--limit", "1", "--json").data["backups"] == [first]
    none = cli("backup", "list", "--limit", "0")
    assert (none.code, "'0' is not a number from 1 on" in none.err) == (2, True)


def test_the_audit_trail_knows_who_asked(company: Company, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "jo")
    company.change(lambda tx: None)
    cli("silence", "web", "--for", "1h", "--why", "moving")
    cli("password")
    rows = company.change(lambda tx: tx.all("audit.latest", limit=9))
    assert {(row["who"], row["action"], row["target"]) for row in rows} == {
        ("jo", "silence.add", "web"),
        ("jo", "account.password", "admin"),
    }
