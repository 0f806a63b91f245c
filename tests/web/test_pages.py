"""What the pages say, read as text and as markup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.store import incidents as repository
from mainstay.store import results, views
from mainstay.store.base import Tx
from mainstay.web.plan import Plan
from tests.web.addresses import addresses
from tests.web.booted import Booted, Client, booted
from tests.web.company import plan
from tests.web.markup import Markup
from tests.web.seed import NODE


async def test_every_page_is_there_and_its_markup_is_sound(site: Booted, client: Client) -> None:
    for name, path in (await addresses(site)).items():
        page = await client.get(path)
        assert page.status == 200, name
        markup = Markup(page.text)
        assert markup.faults == [], name
        assert markup.count("h1") == 1, name
        assert 'lang="en"' in page.text
        assert markup.count("main") == 1, name


async def test_no_page_asks_anything_of_another_host(site: Booted, client: Client) -> None:
    for path in (await addresses(site)).values():
        for tag, found in Markup((await client.get(path)).text).tags:
            source = found.get("src") or (found.get("href") if tag in ("link", "use") else None) or "/"
            assert source.startswith(("/", "#")), (path, tag, source)


async def test_hostile_texts_stay_texts(hostile_site: Booted) -> None:
    async with hostile_site.client() as client:
        for name, path in (await addresses(hostile_site)).items():
            page = await client.get(path)
            markup = Markup(page.text)
            assert page.status == 200, name
            assert markup.faults == [], name
            sources = [str(found.get("src")) for tag, found in markup.tags if tag == "script"]
            assert all(one.startswith("/static/") for one in sources), name
            assert "onerror=alert" not in page.text.replace("&lt;img src=x onerror=alert", ""), name


async def test_an_empty_installation_says_what_to_do(tmp_path: Path) -> None:
    async with booted(tmp_path, plan=Plan("fresh")) as site, site.client() as client:
        for path, words in {
            "/": "Nothing is watched yet.",
            "/incidents": "No past incidents",
            "/jobs": "No jobs yet",
            "/backups": "No database yet",
            "/channels": "Nobody is told yet",
            "/certificates": "No certificate yet",
        }.items():
            page = await client.get(path)
            assert page.status == 200
            assert words in Markup(page.text).text
            assert Markup(page.text).faults == []
        assert (await client.get("/readiness")).status == 404


@pytest.mark.parametrize(
    "path", ["/services/none", "/incidents/none", "/jobs/none", "/runs/none", "/backups/none", "/none"]
)
async def test_what_is_not_there_is_said_kindly(client: Client, path: str) -> None:
    page = await client.get(path)
    assert page.status == 404
    markup = Markup(page.text)
    assert markup.faults == []
    assert markup.count("h1") == 1
    assert markup.text.count("There is no such") == 2, "in the title and on the page"
    assert "To the overview" in markup.text


# --- the overview --------------------------------------------------------------------------------------------------


async def test_the_overview_says_what_fails_first(client: Client) -> None:
    text = Markup((await client.get("/")).text).text
    assert "Order API is failing." in text
    assert "Healing now: attempt 2 of 3. 12 of 14 services healthy." in text
    assert text.index("Order API fails its http check") < text.index("Server db1 warns")
    assert "pagerduty and slack told" in text
    assert "ops_mail still owed, 3 attempts" in text
    assert "maria takes care of it" in text
    assert "Proof failed" in text


async def test_rows_stand_worst_first_then_in_the_files_order(client: Client) -> None:
    ids = [
        one
        for one in Markup((await client.get("/")).text).ids
        if one.startswith("service-") and one != "service-list"
    ]
    assert ids[:4] == ["service-api", "service-db1", "service-odoo", "service-superset"]
    assert len(ids) == 14


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=postgres", ["postgres", "replica", "db1"]),
        ("q=POSTGRES+replica", ["replica"]),
        ("show=problems", ["api", "db1"]),
        ("show=critical&q=redis", ["redis"]),
        ("q=failing", ["api"]),
        ("q=%00%27%22", []),
        ("show=nonsense&from=-4", None),
    ],
)
async def test_search_and_filter(client: Client, query: str, found: list[str] | None) -> None:
    page = await client.get(f"/?{query}")
    shown = [
        one.removeprefix("service-")
        for one in Markup(page.text).ids
        if one.startswith("service-") and one != "service-list"
    ]
    assert page.status == 200
    assert sorted(shown) == sorted(found) if found is not None else len(shown) == 14


async def test_a_silent_agent_is_told_loudly_and_nothing_is_called_healthy(
    site: Booted, client: Client
) -> None:
    await site.clock.advance(20)
    text = Markup((await client.get("/")).text).text
    assert "The agent has not been heard of for 20 s: how things are is unknown." in text
    assert "Agent silent since" in text
    assert "not measured now" in text
    assert "what is shown here is old" in Markup((await client.get("/jobs")).text).text


async def test_old_answers_are_unknown_even_while_the_agent_lives(site: Booted, client: Client) -> None:
    await site.clock.advance(300)
    await site.store.write(lambda tx: tx.run("nodes.beat", id=NODE, beat_at=site.clock.now()))
    text = Markup((await client.get("/services/redis")).text).text
    assert "Unknown" in text
    assert "Last measured 5 min ago: PONG" in text


async def test_all_well_is_one_calm_sentence(site: Booted, client: Client) -> None:
    def heal(tx: Tx) -> None:
        now = site.clock.now()
        results.record(
            tx,
            [
                Result(one, one.partition("/")[0], Verdict.OK, "fine again", now)
                for one in ("api/http", "db1/disk")
            ],
        )
        for incident in repository.live(tx):
            repository.put(tx, replace(incident, resolved_at=now))

    await site.store.write(heal)
    text = Markup((await client.get("/")).text).text
    assert "All 14 services healthy. Last backup proven 6 h ago. Readiness" in text
    assert "Open problems" not in text


async def test_before_the_first_answer_nothing_is_claimed(tmp_path: Path) -> None:
    async with booted(tmp_path, plan=plan()) as site:
        await site.store.write(
            lambda tx: tx.run(
                "nodes.join", id="n", host="h", pid=1, role="agent", started_at=0.0, beat_at=site.clock.now()
            )
        )
        async with site.client() as client:
            text = Markup((await client.get("/")).text).text
    assert "Nothing has been measured yet." in text
    assert text.count("No answer yet") == 14


async def test_a_thousand_services_are_paged(tmp_path: Path) -> None:
    one = plan().services[0]
    many = tuple(
        replace(one, name=f"s{number}", title=f"Service {number}", checks=()) for number in range(1000)
    )
    async with booted(tmp_path, plan=Plan("big", services=many)) as site, site.client() as client:
        first = Markup((await client.get("/")).text)
        last = Markup((await client.get("/?from=900")).text)
    assert "1 to 100 of 1000" in first.text
    assert "901 to 1000 of 1000" in last.text
    assert "service-s999" in last.ids


# --- the other pages -----------------------------------------------------------------------------------------------


async def test_a_service_shows_checks_bars_plot_and_incidents(client: Client) -> None:
    page = await client.get("/services/api?range=24h")
    text = Markup(page.text).text
    assert "Connection to 203.0.113.20:443 refused after 2ms." in text
    assert "restart, at most 3 times in 10m, then call people" in text
    assert "31 times" in text
    assert page.text.count('class="bar tall"') == 2
    assert '<path class="p95" d="M' in page.text
    assert "days left" in text


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "90d", "nonsense"])
async def test_ranges_of_a_service(client: Client, span: str) -> None:
    page = await client.get(f"/services/odoo?range={span}&check=odoo/http")
    assert page.status == 200
    assert '<path class="p95" d="M' in page.text


async def test_an_incident_is_one_timeline(site: Booted, client: Client) -> None:
    path = (await addresses(site))["incident"]
    text = Markup((await client.get(path)).text).text
    order = [
        "First failed answer",
        "Confirmed on a fresh connection",
        "Healing, attempt 1",
        "Told slack: opened",
        "Healing, attempt 2",
    ]
    assert sorted(order, key=text.index) == order
    assert "Action " not in text
    assert "order-api.service restarted" in text
    assert "421 4.7.0 smtp.example.com is busy" in text
    assert "Detected after 3.1 s" in text


async def test_a_post_mortem_is_markdown(site: Booted, client: Client) -> None:
    path = (await addresses(site))["incident-past"]
    document = await client.get(f"{path}.md")
    assert document.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert document.text.startswith("# Order API fails its http check\n")
    assert "| lasted | 23 s |" in document.text
    assert "| +3.1 s | **Confirmed on a fresh connection, incident opened**" in document.text
    assert "## What changes" in document.text
    assert (await client.get("/incidents/none.md")).status == 404


async def test_jobs_show_streaks_missed_runs_and_the_next_time(client: Client) -> None:
    page = await client.get("/jobs")
    text = Markup(page.text).text
    assert "3 missed" in text
    assert "permission denied: /srv/odoo/filestore/tmp" in text
    assert page.text.count('<a class="failed"') >= 2
    assert "only when asked" in text
    job = Markup((await client.get("/jobs/process_queued_jobs")).text).text
    assert "stands for 3 missed" in job
    assert "Due every 15m" in job


async def test_a_run_shows_steps_progress_and_log(site: Booted, client: Client) -> None:
    pages = await addresses(site)
    page = await client.get(pages["run"])
    text = Markup(page.text).text
    assert "dumping public.ir_attachment 241 MB of 389 MB" in text
    assert "check: done 600 ms" in text
    assert "snapshot 00000003-0000A41B-1 exported" in text
    assert 'data-stream="/runs/' in page.text
    failed = await client.get(pages["run-failed"])
    assert "permission denied" in failed.text
    assert "Try again" in failed.text
    assert "data-stream" not in failed.text


async def test_backups_tell_taken_from_proven(client: Client) -> None:
    text = Markup((await client.get("/backups")).text).text
    assert "Taken, not proven" in text
    assert "Proof failed" in text
    assert "18,204,551 rows in 412 tables equal, in 6 min 31 s" in text
    one = Markup((await client.get("/backups/hr")).text).text
    assert "public.payslip: expected 14,448 rows, found 14,447 rows" in one
    assert "Partially proven" in Markup((await client.get("/backups/superset")).text).text


async def test_certificates_say_how_long_they_are_valid_and_where_they_were_seen(client: Client) -> None:
    text = Markup((await client.get("/certificates")).text).text
    assert "70 days" in text
    assert "served for example.com at 203.0.113.10:443" in text
    assert "Timeout during connect" in text
    assert "The next try is" in text
    words = [text.index(word) for word in ("Served", "Not in order", "Expired", "None yet")]
    assert words == sorted(words)


async def test_channels_show_what_is_owed_and_late(client: Client) -> None:
    text = Markup((await client.get("/channels")).text).text
    assert "1 owed" in text
    assert "421 4.7.0 smtp.example.com is busy" in text
    assert "5 min 40 s late" in text
    owed = Markup((await client.get("/channels?owed=1")).text).text
    assert "Delivered 380" not in owed
    assert Markup((await client.get("/channels?channel=pagerduty")).text).text.count("Order API fails") == 3


async def test_readiness_groups_by_priority_with_evidence(client: Client) -> None:
    text = Markup((await client.get("/readiness")).text).text
    assert text.index("P0 Critical") < text.index("P1 High")
    assert "of P0 and P1 automated" in text
    assert "covered elsewhere: unattended-upgrades on every server" in text


async def test_older_incidents_and_runs_are_a_page_away(site: Booted, client: Client) -> None:
    past = await site.store.read(lambda tx: views.incidents(tx, state="resolved"))
    page = await client.get(f"/incidents?before={past[0]['id']}&state=resolved")
    assert f"/incidents/{past[0]['id']}" not in page.text
    assert f"/incidents/{past[1]['id']}" in page.text
    runs = await site.store.read(lambda tx: views.runs(tx, job="backup:hr"))
    older = await client.get(f"/jobs/backup:hr?before={runs[3]['id']}")
    assert f"/runs/{runs[4]['id']}" in older.text
