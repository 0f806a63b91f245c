"""The whole product: real processes, a real provider, real kills."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path

from tests.helpers import eventually, mainstay
from tests.journeys.house import Company, children, free_port
from tests.servers.recorder import Answer


def test_a_killed_service_is_noticed_told_healed_and_the_recovery_told(company: Company) -> None:
    company.kill_api()
    eventually(lambda: len(company.pages()) >= 2, 40)
    actions = company.pages()
    assert [page["event_action"] for page in actions] == ["trigger", "resolve"]
    assert len({page["dedup_key"] for page in actions}) == 1
    assert len([each for each in company.recorder.accepted if "services" in each.path]) == 2
    (incident,) = company.ask("incidents", "list")["incidents"]
    shown = company.run("incidents", "show", incident["id"])
    assert "Restarting api" in shown.stdout
    assert company.run("status").returncode == 0


def test_an_agent_that_dies_in_an_incident_loses_no_alert(fragile: Company) -> None:
    fragile.recorder.behave(Answer(503))
    fragile.kill_api()
    eventually(lambda: fragile.state() == "fail", 20)
    eventually(lambda: fragile.recorder.to("/v2/enqueue"), 20)
    first = fragile.part("agent")
    os.kill(first, signal.SIGKILL)
    fragile.recorder.clear()
    pages = eventually(fragile.pages, 40)
    assert [page["event_action"] for page in pages] == ["trigger"]
    assert fragile.part("agent") != first


def test_a_wrong_file_keeps_the_old_plan_and_is_told_until_it_is_right(fragile: Company) -> None:
    assert fragile.up is not None
    fragile.file.write_text(fragile.text.replace("every: 1s", "evry: 1s"))
    fragile.up.send_signal(signal.SIGHUP)
    slack = eventually(lambda: fragile.recorder.to("/services/T/B/journey"), 20)
    assert "configuration" in slack[0].text
    assert "evry" in slack[0].text
    assert fragile.up.poll() is None
    longer = fragile.text.replace("name: journey", "name: journey\ntitle: Long Journey")
    fragile.file.write_text(longer)
    fragile.up.send_signal(signal.SIGHUP)
    eventually(lambda: len(fragile.recorder.to("/services/T/B/journey")) == 2, 20)
    assert fragile.state() == "ok"


def test_a_right_file_that_asks_for_a_journal_nobody_can_open_keeps_the_old_plan(fragile: Company) -> None:
    assert fragile.up is not None
    agent = fragile.part("agent")
    fragile.file.write_text(fragile.text + "journal: postgresql://127.0.0.1:1/nowhere\n")
    fragile.up.send_signal(signal.SIGHUP)
    slack = eventually(lambda: fragile.recorder.to("/services/T/B/journey"), 20)
    assert "127.0.0.1:1/nowhere: connection failed" in slack[0].text
    assert fragile.part("agent") == agent


def test_a_gateway_that_is_added_is_opened_and_survives_a_kill(fragile: Company) -> None:
    assert fragile.up is not None
    port = free_port()
    gateway = f"gateway: {{routes: [{{origin: 'http://127.0.0.1:{fragile.port}'}}]}}"
    fragile.file.write_text(f"{fragile.text}\nedge: {{gateway: '127.0.0.1:{port}'}}\n{gateway}\n")
    fragile.up.send_signal(signal.SIGHUP)

    def answer() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as found:
            return bytes(found.read())

    assert eventually(answer, 30) == b"ok"
    os.kill(fragile.part("edge"), signal.SIGKILL)
    assert eventually(answer, 30) == b"ok"


def test_a_check_that_is_renamed_takes_its_incident_with_it(fragile: Company) -> None:
    assert fragile.up is not None
    fragile.kill_api()
    eventually(lambda: len(fragile.pages()) == 1, 20)
    fragile.file.write_text(fragile.text.replace("{http: {url:", "{http: {name: front, url:"))
    fragile.up.send_signal(signal.SIGHUP)
    eventually(lambda: len(fragile.pages()) >= 2, 40)
    first, second, *_ = fragile.pages()
    assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == second["dedup_key"]


def test_when_the_supervisor_is_killed_its_processes_end_and_the_service_stays(fragile: Company) -> None:
    assert fragile.up is not None
    parts = children(fragile.up.pid)
    assert len(parts) == 2
    fragile.up.kill()
    fragile.up.wait()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in parts), 40)
    assert fragile.api_pid() is not None


def test_it_answers_refuses_a_second_one_and_ends_in_order(fragile: Company) -> None:
    assert fragile.up is not None
    base = f"http://127.0.0.1:{fragile.web}"

    def get(path: str) -> str:
        with urllib.request.urlopen(base + path, timeout=10) as answer:
            return str(answer.read().decode())

    health = eventually(lambda: json.loads(get("/healthz")), 20)
    assert health["status"] == "ok"
    assert 'mainstay_check_up{check="http",service="api"} 1.0' in get("/metrics")
    assert "password" in get("/login")

    second = fragile.run("up")
    assert second.returncode == 1
    assert f"mainstay runs already with {fragile.home / 'state'}: process" in second.stderr
    assert fragile.log.count("started api") == 1

    parts = children(fragile.up.pid)
    assert fragile.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in parts)
    assert "Traceback" not in fragile.log


def test_a_backup_by_hand_beside_the_running_agent_is_proven(shop: Company) -> None:
    done = shop.run("backup", "now", "--json")
    assert done.returncode == 0, done.stderr
    (backup,) = shop.ask("backup", "list")["backups"]
    assert backup["state"] == "proven"
    assert backup["rows"] == 5000
    assert shop.ask("status")["backups"][0]["proven_at"]


def test_a_file_that_is_wrong_from_the_start_says_so_and_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: x\nservces: {}\n")
    done = mainstay("up", "--config", str(file))
    assert done.returncode == 2
    assert "mainstay.yaml:2" in done.stderr
    assert "Traceback" not in done.stderr
