"""The buttons: each changes the journal, once, and leads back to a page that shows it."""

from __future__ import annotations

import json

from mainstay.core.run import RunState
from mainstay.store import runs, silences, views
from tests.web.addresses import addresses
from tests.web.booted import Booted, Client
from tests.web.markup import Markup


async def test_acknowledge_takes_the_incident_and_tells_those_who_were_told(
    site: Booted, client: Client
) -> None:
    path = (await addresses(site))["incident"]
    page = await client.submit("/", f"{path}/acknowledge", back="/")
    assert page.url == f"{site.url}/"
    assert "admin takes care of it" in Markup(page.text).text
    identifier = path.rpartition("/")[2]
    messages = await site.store.read(lambda tx: views.messages(tx, identifier))
    told = {row["channel"] for row in messages if json.loads(row["message"])["kind"] == "acknowledged"}
    assert told == {"slack", "pagerduty", "ops_mail"}
    again = await client.post(f"{path}/acknowledge", {"csrf": page.csrf})
    assert again.status == 200
    assert len(await site.store.read(lambda tx: views.messages(tx, identifier))) == len(messages)
    assert f'action="{path}/acknowledge"' not in again.text
    audit = await site.store.read(views.audit)
    assert [row["action"] for row in audit].count("incident.acknowledge") == 1


async def test_an_incident_is_resolved_and_noted_by_hand(site: Booted, client: Client) -> None:
    path = (await addresses(site))["incident"]
    noted = await client.submit(
        path, f"{path}/note", text="  The certificate of the proxy had expired. <b>  "
    )
    assert "The certificate of the proxy had expired. &lt;b&gt;" in noted.text
    await client.submit(path, f"{path}/note", text="   ")
    done = await client.submit(path, f"{path}/resolve", why="put a new one in")
    text = Markup(done.text).text
    assert "admin resolved it: put a new one in" in text
    assert "Lasted" in text
    row = await site.store.read(lambda tx: views.incident(tx, path.rpartition("/")[2]))
    assert row
    assert row["resolved_at"] == site.clock.now()


async def test_what_is_gone_cannot_be_changed(site: Booted, client: Client) -> None:
    csrf = (await client.get("/jobs")).csrf
    missing = await client.post("/incidents/none/acknowledge", {"csrf": csrf})
    assert missing.status == 409
    assert "there is no incident none" in missing.text
    assert (await client.post("/jobs/none/run", {"csrf": csrf})).status == 404
    assert (
        await client.post("/services/none/silence", {"csrf": csrf, "why": "x", "seconds": "3600"})
    ).status == 404
    assert (await client.post("/runs/none/cancel", {"csrf": csrf})).status == 409
    told = await client.post("/runs/none/retry", {"csrf": csrf}, headers={"Accept": "application/json"})
    assert json.loads(told.text)["error"] == "there is no run none"


async def test_run_now_queues_one_run_and_shows_it(site: Booted, client: Client) -> None:
    page = await client.submit("/jobs", "/jobs/backup:hr/run")
    identifier = page.url.rpartition("/")[2]
    row = await site.store.read(lambda tx: runs.get(tx, identifier))
    assert row
    assert (row.job, row.state, row.why, row.args) == ("backup:hr", RunState.QUEUED, "asked for by admin", {})
    assert row.key.startswith("backup:hr:manual:")
    assert "Waits" in Markup(page.text).text
    audit = await site.store.read(views.audit)
    assert (audit[0]["action"], audit[0]["target"], audit[0]["who"]) == ("job.run", "backup:hr", "admin")


async def test_prove_now_and_back_up_now_are_on_the_backups_page(site: Booted, client: Client) -> None:
    page = await client.get("/backups")
    for job in ("prove:superset", "backup:superset"):
        assert f'action="/jobs/{job}/run"' in page.text
        await client.post(f"/jobs/{job}/run", {"csrf": page.csrf})
        found = await site.store.read(lambda tx: views.runs(tx, job=job, state="queued"))  # noqa: B023
        assert len(found) == 1
    assert "prove:superset waits" in Markup((await client.get("/backups")).text).text


async def test_a_run_is_cancelled_and_tried_again(site: Booted, client: Client) -> None:
    path = (await addresses(site))["run"]
    page = await client.submit(path, f"{path}/cancel")
    assert "cancelled by admin" in page.text
    again = await client.submit(path, f"{path}/retry")
    assert "Waits" in Markup(again.text).text
    refused = await client.post(f"{path}/retry", {"csrf": again.csrf})
    assert refused.status == 409
    assert "nothing to try again" in refused.text


async def test_a_silence_holds_until_it_is_ended(site: Booted, client: Client) -> None:
    page = await client.submit(
        "/services/ocr", "/services/ocr/silence", why="moving to the new host", seconds="14400"
    )
    text = Markup(page.text).text
    assert "moving to the new host, admin, until" in text
    held = await site.store.read(lambda tx: silences.active(tx, site.clock.now()))
    assert [(one.service, one.until_at - one.from_at) for one in held] == [("ocr", 14400)]
    assert "silenced" in Markup((await client.get("/?q=ocr")).text).text
    await client.submit("/services/ocr", f"/silences/{held[0].id}/end", back="/services/ocr")
    await site.clock.advance(0.1)
    assert await site.store.read(lambda tx: silences.active(tx, site.clock.now())) == []


async def test_a_silence_needs_a_reason_and_an_end(client: Client) -> None:
    for fields in ({"why": "", "seconds": "3600"}, {"why": "x", "seconds": "99999999"}):
        refused = await client.submit("/services/ocr", "/services/ocr/silence", **fields)
        assert refused.status == 409
        assert "a silence needs a reason and an end" in refused.text


async def test_light_and_dark_are_remembered_without_a_script(client: Client) -> None:
    assert "data-theme" not in (await client.get("/")).text.partition("<head>")[0]
    for wanted in ('data-theme="dark"', 'data-theme="light"', None):
        page = await client.submit("/jobs", "/theme", back="/jobs")
        assert page.url.endswith("/jobs")
        assert (wanted or '<html lang="en">') in page.text.partition("<head>")[0]


async def test_healing_by_hand_says_who_asked(site: Booted, client: Client) -> None:
    from dataclasses import replace

    from mainstay.web.plan import JobPlan

    made = site.app.state.site
    made.plan = replace(made.plan, jobs=(*made.plan.jobs, JobPlan("heal:ocr", "Restart OCR service")))
    page = await client.get("/jobs")
    assert 'data-confirm="Restart what runs ocr now?"' in page.text
    await client.post("/jobs/heal:ocr/run", {"csrf": page.csrf})
    row = (await site.store.read(lambda tx: views.runs(tx, job="heal:ocr")))[0]
    assert json.loads(row["args"]) == {"by": "admin"}
