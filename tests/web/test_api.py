"""The JSON API: every endpoint answers with the journal's truth, every error as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mainstay.web import api
from tests.web.addresses import addresses
from tests.web.booted import Booted, Client


async def get(client: Client, path: str, status: int = 200) -> Any:
    answer = await client.get(f"/api/v1{path}", headers={"Accept": "application/json"})
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.text)


async def test_status_is_the_verdict_in_numbers(client: Client) -> None:
    found = await get(client, "/status")
    assert found["verdict"] == "fail"
    assert found["sentence"] == "Order API is failing."
    assert found["services"] == {"fail": 1, "warn": 1, "ok": 12}
    assert found["agent"]["alive"] is True
    assert found["open_incidents"] == 2
    assert found["messages_owed"] == 1


async def test_services_with_their_checks(client: Client) -> None:
    found = {one["name"]: one for one in (await get(client, "/services"))["services"]}
    assert len(found) == 14
    assert found["api"]["state"] == "fail"
    assert found["api"]["critical"] is True
    assert found["api"]["incident"]
    http, tls = found["api"]["checks"]
    assert http["detail"] == "connection to 203.0.113.20:443 refused after 2ms"
    assert tls["facts"]["days_left"] == 61.2
    assert 0.1 < http["p95"] < 0.4
    assert 0.9 < found["api"]["good"] < 1
    assert (await get(client, "/services/redis"))["state"] == "ok"
    await get(client, "/services/none", 404)


async def test_latency_comes_in_columns(client: Client) -> None:
    day = await get(client, "/services/odoo/latency?check=odoo/http")
    assert len(day["at"]) == len(day["p50"]) == len(day["p95"])
    assert len(day["at"]) > 1000
    assert None in day["p95"], "a gap where nothing was measured"
    assert len((await get(client, "/services/odoo/latency?check=odoo/http&range=90d"))["at"]) > 2000
    assert (await get(client, "/services/odoo/latency?check=odoo/http&range=1h"))["at"]
    assert "hint" in await get(client, "/services/odoo/latency?check=api/http", 404)
    assert "24h" in (await get(client, "/services/odoo/latency?check=odoo/http&range=2y", 400))["hint"]


async def test_incidents_and_one_with_its_timeline(site: Booted, client: Client) -> None:
    opened = (await get(client, "/incidents?state=open"))["incidents"]
    assert [one["service"] for one in opened] == ["api", "db1"]
    assert len((await get(client, "/incidents?limit=3"))["incidents"]) == 3
    assert {one["service"] for one in (await get(client, "/incidents?service=ocr"))["incidents"]} == {"ocr"}
    one = await get(client, f"/incidents/{opened[0]['id']}")
    assert one["spans"]["detected"] == pytest.approx(3.1, abs=0.01)
    assert one["timeline"][0]["what"] == "First failed answer"
    assert isinstance(one["facts"], dict)
    await get(client, "/incidents/none", 404)
    assert (await get(client, "/incidents?state=opened", 400))["hint"] == "use one of open, resolved"
    path = (await addresses(site))["incident"]
    csrf = (await client.get(path)).csrf
    taken = await client.post(f"/api/v1{path}/acknowledge", headers={"X-CSRF-Token": csrf})
    assert json.loads(taken.text)["acknowledged_by"] == "admin"


async def test_jobs_runs_and_running_one(site: Booted, client: Client) -> None:
    jobs = {one["name"]: one for one in (await get(client, "/jobs"))["jobs"]}
    assert jobs["process_queued_jobs"]["schedule"] == "every 15m"
    assert jobs["process_queued_jobs"]["missed"] == 3
    assert jobs["cleanup_temp_files"]["last"]["state"] == "failed"
    assert jobs["backup:hr"]["next_at"] > site.clock.now()
    csrf = (await client.get("/jobs")).csrf
    made = await client.post("/api/v1/jobs/backup:hr/run", headers={"X-CSRF-Token": csrf})
    assert made.status == 202
    identifier = json.loads(made.text)["id"]
    assert (await get(client, f"/runs/{identifier}"))["state"] == "queued"
    assert (await get(client, "/runs?job=backup:hr&state=queued"))["runs"][0]["id"] == identifier
    assert "queued, running" in (await get(client, "/runs?state=waiting", 400))["hint"]
    missing = await client.post("/api/v1/jobs/none/run", headers={"X-CSRF-Token": csrf})
    assert missing.status == 404
    running = (await addresses(site))["run"]
    found = await get(client, running)
    assert found["steps"][0]["name"] == "check"
    assert found["progress"]["unit"] == "bytes"
    assert found["log"][0]["seq"] == 1
    await get(client, "/runs/none", 404)


async def test_backups_and_the_outbox(client: Client) -> None:
    found = await get(client, "/backups?database=hr&limit=2")
    assert [one["name"] for one in found["databases"]] == ["hr"]
    assert found["databases"][0]["state"] == "failed"
    assert found["databases"][0]["proof"]["verdict"] == "proven"
    assert len(found["backups"]) == 2
    assert "manifest" not in found["backups"][0]
    assert found["backups"][0]["proof_verdict"] == "failed"
    owed = await get(client, "/outbox?owed=1")
    assert [one["channel"] for one in owed["messages"]] == ["ops_mail"]
    assert owed["messages"][0]["message"]["kind"] == "opened"
    assert {one["channel"]: one["owed"] for one in owed["channels"]} == {
        "slack": 0,
        "pagerduty": 0,
        "ops_mail": 1,
    }


async def test_certificates(client: Client) -> None:
    found = {one["name"]: one for one in (await get(client, "/certificates"))["certificates"]}
    assert list(found) == ["example.com", "erp.example.com", "mail.example.com", "new.example.com"]
    assert found["example.com"]["names"] == ["example.com", "www.example.com"]
    assert found["example.com"]["left"] == pytest.approx(70.5 * 86400, abs=60)
    assert found["erp.example.com"]["failures"] == 4
    assert found["new.example.com"]["left"] is None


@pytest.mark.parametrize("limit", ["0x1", "-1", "1e9", "", "999999999"])
async def test_odd_limits_are_no_fault(client: Client, limit: str) -> None:
    await get(client, f"/runs?limit={limit}")


async def test_errors_are_json(client: Client) -> None:
    assert (await get(client, "/nothing", 404))["error"] == "there is no such endpoint"
    wrong = await client.session.put("/api/v1/status", headers={"Accept": "application/json"})
    assert wrong.status == 404 or wrong.status == 405
    assert "error" in await wrong.json()


def test_every_endpoint_says_what_it_gives() -> None:
    listed = api.endpoints()
    assert (
        "POST",
        "/api/v1/jobs/{name}/run",
        "Queue a run of a job now; answers 202 with the run.",
    ) in listed
    assert all(about for _, _, about in listed)
    assert len(listed) == len(api.routes()) - 1
