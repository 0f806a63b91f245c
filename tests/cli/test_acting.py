"""Commands that change something: journal, backups, services, channels."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from mainstay.core.incident import IncidentState
from mainstay.engine import runner
from mainstay.store import accounts, incidents, silences
from tests.cli import scenes
from tests.cli.conftest import Cli, Company
from tests.helpers import command
from tests.servers.recorder import Recorder

PROCESS = """
name: shop
state_dir: state
services:
  web:
    runs_on: {{process: {{command: [{python}, -c, "import time; time.sleep(600)"]}}}}
    checks: [{{command: ["true"]}}]
    heal: {{restart: {{cooldown: 1s, within: 20s, confirm: 1}}}}
"""


def test_a_silence_from_its_beginning_to_its_end(company: Company, cli: Cli, now: float) -> None:
    company.change(lambda tx: None)
    assert cli("silence").out == "nothing is silenced\n"
    assert (
        "would tell nobody about web until"
        in cli("silence", "web", "--for", "2h", "--why", "x", "--dry-run").out
    )
    assert cli("silence").out == "nothing is silenced\n"
    said = cli("silence", "web", "--for", "2h", "--why", "moving house", "--json")
    assert (said.code, said.data["service"]) == (0, "web")
    assert said.data["until_at"] == pytest.approx(now + 7200, abs=60)
    (kept,) = company.change(lambda tx: silences.active(tx, now + 60))
    assert (kept.service, kept.why) == ("web", "moving house")
    listed = cli("silence").out
    assert "moving house" in listed
    assert cli("silence", "--json").data["silences"][0]["id"] == kept.id
    assert "moving house" in cli("status").out
    assert cli("silence", "web", "--end", "--dry-run").out == "would end the silence of web\n"
    assert cli("silence", "web", "--end").out == "ended the silence of web\n"
    assert cli("silence", "web", "--end").code == 1
    assert cli("silence", "*", "--for", "30m", "--why", "a drill").code == 0


def test_a_new_password_opens_the_dashboard(company: Company, cli: Cli) -> None:
    said = cli("password")
    password = said.out.strip()
    assert "not shown again" in said.err
    kept = company.change(lambda tx: accounts.kept_password(tx, "admin"))
    assert accounts.password_fits(kept, password)
    data = cli("password", "--account", "jo", "--json").data
    assert accounts.password_fits(
        company.change(lambda tx: accounts.kept_password(tx, "jo")), data["password"]
    )
    assert accounts.password_fits(company.change(lambda tx: accounts.kept_password(tx, "admin")), password)


@pytest.fixture
def keyed(company: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
    """A company whose secrets are there."""
    monkeypatch.setenv("MAINSTAY_ERP_DSN", "postgresql://nobody@127.0.0.1:9/none")
    return company


def test_somebody_takes_care_of_an_incident(
    keyed: Company, cli: Cli, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "jo")
    keyed.change(scenes.incident(now))
    assert cli("incidents", "ack", "aaaa1").out == "Web shop fails its http check: acknowledged by jo\n"
    found = keyed.change(lambda tx: incidents.get(tx, scenes.INCIDENT.id))
    assert (found.state, found.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "jo")
    again = cli("incidents", "ack", "aaaa1").out
    assert again == "Web shop fails its http check: it is acknowledged already by jo; nothing was changed\n"
    assert cli("incidents", "resolve", "aaaa1", "--why", "a cable", "--json").data["state"] == "resolved"
    late = cli("incidents", "ack", "aaaa1").out
    assert late == "Web shop fails its http check: it is resolved already; nothing was changed\n"
    assert "jo resolved it: a cable" in cli("incidents", "show", "aaaa1").out


def test_a_job_is_done_here_and_now(keyed: Company, cli: Cli) -> None:
    planned = cli("run", "journal_backup", "--dry-run")
    assert planned.out == "would run journal_backup  (journal_backup)\n  1. copy\n"
    assert not keyed.journal.exists()
    said = cli("run", "journal_backup")
    assert said.code == 0
    assert said.out.startswith("● journal_backup done")
    assert "copied and checked" in cli("logs", "journal_backup").out
    (run,) = cli("run", "journal_prune", "--arg", "why=test", "--arg", "n=3", "--json").data["runs"]
    assert (run["state"], run["args"], run["why"][:3]) == ("done", {"why": "test", "n": 3}, "by ")


def test_a_job_that_fails_says_no(keyed: Company, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FIRST_PAUSE", 0.01)
    said = cli("backup", "now", "erp", "--json")
    assert said.code == 1
    (run,) = said.data["runs"]
    assert (run["job"], run["state"]) == ("backup:erp", "failed")
    assert "127.0.0.1:9" in run["error"]


def test_a_password_that_everybody_can_read_is_told_of_and_not_repeated(
    keyed: Company, cli: Cli, now: float
) -> None:
    keyed.change(scenes.backup(now))
    said = cli("backup", "restore", "erp", "--into", "postgresql://u:seen-by-all@127.0.0.1:9/x", "--dry-run")
    assert said.code == 1
    assert "give it by $PGPASSWORD" in said.err
    assert "seen-by-all" not in said.err + said.out


def test_healing_is_planned_done_and_switched_off(company: Company, cli: Cli) -> None:
    company.write(PROCESS.format(python=sys.executable))
    try:
        planned = cli("heal", "web", "--dry-run")
        assert planned.code == 0
        assert planned.out.startswith("web is ")
        said = cli("heal", "web")
        assert (said.code, "heal:web" in said.out) == (0, True)
        assert "running" in cli("heal", "web", "--dry-run", "--json").data["state"]
        assert cli("heal", "--off", "a drill", "--dry-run").out == "would switch healing off\n"
        assert cli("heal", "--off", "a drill").out == "healing is off\n"
        assert "a drill" in cli("status").out
        assert cli("heal", "--on", "--json").data["healing"] == "on"
    finally:
        stop(company)


def stop(company: Company) -> None:
    """Stop the process that healing started."""
    import asyncio

    from mainstay.config.load import load
    from mainstay.ports.services import control_for

    config = load(company.file)
    runs_on = config.services["web"].runs_on
    assert runs_on is not None
    asyncio.run(control_for("web", runs_on, config.state_dir, company.home).stop())


@pytest.fixture
def shop(company: Company, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real database with three small tables, backed up into a directory."""
    with psycopg.connect(database, autocommit=True) as connection:
        for table in ("item", "buyer", "sale"):
            connection.execute(
                f"CREATE TABLE {table} AS SELECT g AS id, md5(g::text) AS words FROM generate_series(1, 200) g"
            )
    monkeypatch.setenv("MAINSTAY_ERP_DSN", database)
    return database


def test_a_backup_is_taken_proven_damaged_found_out_and_restored(
    company: Company, cli: Cli, shop: str
) -> None:
    assert cli("backup", "now", "--dry-run").out == "would back up erp\n"
    said = cli("backup", "now")
    assert said.code == 0, said
    assert "600 rows in 3 tables" in said.out
    (backup,) = cli("backup", "list", "--json").data["backups"]
    assert (backup["state"], backup["rows"]) == ("proven", 600)
    assert cli("backup", "prove", "erp", "--dry-run", "--json").data["would"] == "prove"
    assert cli("backup", "prove", backup["id"][-8:]).code == 0

    target = shop.rpartition("/")[0] + "/restored"
    planned = cli("backup", "restore", "erp", "--into", target, "--dry-run", "--json").data
    assert (planned["exists"], planned["refused"]) == (False, None)
    assert "create database restored" in cli("backup", "restore", "erp", "--into", target, "--dry-run").out
    done = cli("backup", "restore", backup["id"][-8:], "--into", target)
    assert re.match(r"erp as it was .* ago\), proven\n", done.err)
    assert (done.code, "600 rows equal" in done.out) == (0, True), done
    with psycopg.connect(target) as connection:
        assert connection.execute("SELECT count(*) FROM sale").fetchone() == (200,)
    refused = cli("backup", "restore", "erp", "--into", target, "--dry-run")
    assert (refused.code, "not empty" in refused.out) == (1, True)
    again = cli("backup", "restore", "erp", "--into", target, "--replace", "--json")
    assert (again.code, again.data["equal"], again.data["kept_as"][:16]) == (0, True, "restored_before_")

    dump = next((company.home / "vault").rglob("*.pgc*"))
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-100] + b"\0" * 100)
    damaged = cli("backup", "prove")
    assert damaged.code == 1
    assert "✖ prove:erp failed" in damaged.out
    assert "✖" in cli("backup", "list").out
    assert "no backup erp2" in cli("backup", "prove", "erp2").err
    assert "did you mean erp?" in cli("backup", "list", "erp2").err

    # The newest one that is not known to be damaged is restored, and the person is told that there are newer ones.
    assert cli("backup", "restore", "erp", "--into", f"{target}2").code == 1
    assert cli("backup", "now").code == 0
    newest = max((company.home / "vault").rglob("*.pgc*"))
    newest.write_bytes(newest.read_bytes()[:-100] + b"\0" * 100)
    dump.write_bytes(whole)
    assert cli("backup", "prove", backup["id"][-8:]).code == 0
    assert cli("backup", "prove").code == 1
    older = cli("backup", "restore", "erp", "--into", f"{target}2")
    assert (older.code, "600 rows equal" in older.out) == (0, True), older
    assert f"newer backups of erp failed their proof; this is {backup['id'][-8:]}, proven" in older.err


def test_one_command_restores_whatever_is_kept(company: Company, cli: Cli, shop: str) -> None:
    target = shop.rpartition("/")[0] + "/restored"
    assert cli("backup", "now").code == 0
    assert "proven" in cli("restore", "erp").out
    one = cli("restore", "erp", "--into", f"{target}_3", "--to", "latest")
    assert (one.code, "600 rows equal" in one.out) == (0, True), one
    asked = cli("restore", "erp", "--into", target, "--replace")
    assert (asked.code, "nobody is there to be asked" in asked.err) == (2, True), asked
    early = cli("restore", "erp", "--into", target, "--to", "2020-01-01")
    assert (early.code, "no backup of erp from before 2020-01-01" in early.err) == (1, True), early
    assert "the log of erp is not kept" in cli("restore", "erp", "--tables", "sale").err
    assert "did you mean erp?" in cli("restore", "erpp", "--into", target).err


def test_bars_are_drawn_on_a_terminal_and_nowhere_else(company: Company, cli: Cli, shop: str) -> None:
    plain = subprocess.run(
        command("backup", "now"), cwd=company.home, capture_output=True, text=True, check=True, timeout=120
    )
    assert plain.stderr == ""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        command("backup", "now"), cwd=company.home, stdout=subprocess.PIPE, stderr=theirs, env=env
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:
        pass  # Linux says so when the other side of a terminal is closed
    finally:
        os.close(ours)
    out, _ = process.communicate(timeout=60)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "backup:erp" in drawn
    assert re.search(r"✓ comparing +━+ +3 of 3 tables", drawn)
    assert out.decode().startswith("● backup:erp done")


DOCTORED = """
name: shop
state_dir: state
services:
  here: {checks: [{disk: /}]}
  web: {runs_on: docker:nothing-like-this, checks: [{tcp: "127.0.0.1:9"}]}
databases:
  erp: {dsn: {secret: erp_dsn}, backup: {}}
storage: {vault: {directory: vault}}
notify: {webhook: {url: {secret: hook_url}, secret: {secret: hook_key}}}
"""


def test_the_doctor_finds_nothing_or_says_what_is_in_the_way(
    company: Company, cli: Cli, shop: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    company.write(DOCTORED)
    said = cli("doctor")
    assert said.code == 2
    assert "FAIL  secret hook_url" in said.out
    hook = tmp_path / "hook_key"
    hook.write_text("a-key-of-sixteen-or-more-letters\n")
    hook.chmod(0o644)
    monkeypatch.setenv("MAINSTAY_HOOK_KEY_FILE", str(hook))
    monkeypatch.setenv("MAINSTAY_HOOK_URL", f"{recorder.url}/hook")
    lines = {line["what"]: line for line in cli("doctor", "--json").data["lines"]}
    assert lines["secret hook_key"]["state"] == "warn"
    assert lines["secret hook_url"]["detail"] == "from the variable MAINSTAY_HOOK_URL"
    assert lines["agent"]["state"] == "warn"
    assert lines["storage vault"]["state"] == "ok"
    assert lines["database erp"]["detail"].startswith("PostgreSQL ")
    assert "not tried" in lines["channel webhook"]["detail"]
    assert not recorder.requests
    hook.chmod(0o600)
    cli("doctor", "--send")
    assert [request.json()["type"] for request in recorder.accepted] == [
        "incident.opened",
        "incident.resolved",
    ]
    assert "webhook accepted a message" in cli("check").out
    recorder.answer(500)
    lines = {line["what"]: line for line in cli("doctor", "--send", "--json").data["lines"]}
    assert (lines["channel webhook"]["state"], "500" in lines["channel webhook"]["detail"]) == ("fail", True)


EDGE = """
name: shop
state_dir: .
edge: {webhooks: "127.0.0.1:PORT", gateway: "127.0.0.1:9"}
webhooks:
  bank: {secrets: [{secret: hook}], deliver_to: "http://127.0.0.1:9/bank"}
  shop: {secrets: [{secret: hook}], deliver_to: "http://127.0.0.1:9/shop"}
  kept: {secrets: [{secret: hook}]}
gateway:
  routes: [{path: /, origin: "http://127.0.0.1:9"}]
"""


def test_the_doctor_looks_at_the_edge_and_what_it_delivers(
    company: Company, cli: Cli, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    from mainstay.store import inbox_delivery

    monkeypatch.setenv("MAINSTAY_HOOK", "shared-with-the-sender")
    company.write(EDGE.replace("PORT", recorder.url.rpartition(":")[2]))
    company.change(lambda tx: inbox_delivery.stand(tx, "bank", "open", now - 60, "cannot be reached"))
    said = cli("doctor", "--json")
    lines = {line["what"]: line for line in said.data["lines"]}
    assert said.code == 0
    assert lines["edge for webhooks"]["state"] == "ok"
    assert lines["log of webhooks"]["detail"] == "all is in the journal"
    assert (lines["edge's gateway"]["state"], lines["edge's gateway"]["detail"]) == (
        "warn",
        "nobody listens on 127.0.0.1:9",
    )
    assert "cannot be reached; 0 wait" in lines["target of bank"]["detail"]
    (company.home / "inbox").mkdir(exist_ok=True)
    (company.home / "inbox" / "x.refused").touch()
    assert lines["target of shop"]["detail"] == "0 delivered, 0 wait"
    assert lines["target of kept"]["detail"].startswith("nobody (no deliver_to): 0 kept")
    out = cli("doctor").out
    assert "nothing fails; 4 lines to look at" in out
    assert "warn  log of webhooks    1 file in " in out


def test_the_doctor_names_broken_things(company: Company, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_ERP_DSN", "postgresql://nobody@127.0.0.1:9/none")
    (company.home / "vault").write_text("in the way")
    said = cli("doctor")
    assert said.code == 1
    assert "FAIL  storage vault" in said.out
    assert "FAIL  database erp" in said.out
    assert "nothing is in the way" not in said.out
    company.write("name: shop\nstate_dir: /proc/nowhere\n")
    assert "FAIL  state_dir" in cli("doctor").out
    company.write("name: shop\nnmae: 1\n")
    said = cli("doctor")
    assert (said.code, "mainstay.yaml:2: nmae: unknown option" in said.out) == (2, True)
