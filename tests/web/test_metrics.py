"""`/metrics` in the format that Prometheus reads, `/healthz` for those who only want yes or no."""

from __future__ import annotations

import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from mainstay import __version__
from mainstay.edge.http.meter import Meter
from mainstay.edge.http.witness import CONNECTIONS, REQUESTS, TOOK
from mainstay.web.metrics import METRICS
from mainstay.web.plan import Plan
from tests.web.booted import Booted, Client, booted
from tests.web.seed import NODE

Labels = tuple[tuple[str, str], ...]


def read(text: str) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_every_metric_is_there_with_its_meaning(client: Client) -> None:
    page = await client.get("/metrics")
    assert page.headers["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(page.text)}
    assert set(families) == {one.name for one in METRICS}
    for one in METRICS:
        assert families[one.name].documentation == one.help
        assert families[one.name].samples, one.name
        assert {label for sample in families[one.name].samples for label in sample.labels} == set(one.labels)


async def test_metrics_tell_the_journals_truth(site: Booted, client: Client) -> None:
    await site.store.write(lambda tx: tx.run("nodes.beat", id=NODE, beat_at=site.clock.now() - 2))
    found = read((await client.get("/metrics")).text)
    assert found["mainstay_build_info", (("version", __version__),)] == 1
    assert found["mainstay_agent_beat_age_seconds", ()] == 2
    api = (("check", "http"), ("service", "api"))
    assert found["mainstay_check_up", api] == 0
    assert found["mainstay_check_state", (*api[:1], api[1], ("state", "fail"))] == 1
    assert found["mainstay_check_up", (("check", "redis"), ("service", "redis"))] == 1
    assert found["mainstay_check_certificate_days", (("check", "certificate"), ("service", "nginx"))] == 12.4
    assert found["mainstay_incidents_open", (("severity", "critical"),)] == 1
    assert found["mainstay_incidents_open", (("severity", "info"),)] == 0
    assert found["mainstay_backup_proven_rows", (("database", "odoo_prod"),)] == 18_204_551
    assert found["mainstay_backup_age_seconds", (("database", "hr"),)] == 6.2 * 3600
    assert found["mainstay_certificate_left_seconds", (("certificate", "mail.example.com"),)] == -86400
    assert found["mainstay_certificate_failures", (("certificate", "erp.example.com"),)] == 4
    assert found["mainstay_certificate_seen_age_seconds", (("certificate", "example.com"),)] == 3600
    assert found["mainstay_outbox_owed", (("channel", "ops_mail"),)] == 1
    assert found["mainstay_outbox_oldest_age_seconds", (("channel", "slack"),)] == 0
    assert found["mainstay_runs", (("job", "backup:odoo_prod"), ("state", "running"))] == 1


async def test_an_unknown_check_is_neither_up_nor_down(site: Booted, client: Client) -> None:
    await site.clock.advance(300)
    found = read((await client.get("/metrics")).text)
    redis = (("check", "redis"), ("service", "redis"))
    assert ("mainstay_check_up", redis) not in found
    assert found["mainstay_check_state", (*redis, ("state", "unknown"))] == 1
    assert found["mainstay_check_age_seconds", redis] > 300


async def test_healthz_tells_the_age_of_what_was_measured(site: Booted) -> None:
    async with site.client(login=False) as client:
        healthy = json.loads((await client.get("/healthz")).text)
        assert healthy["status"] == "ok"
        assert healthy["agent_alive"] is True
        assert healthy["agent_age"] == 0.4
        assert healthy["measured_age"] == 1.2
        await site.clock.advance(60)
        answer = await client.get("/healthz")
        assert answer.status == 503
        old = json.loads(answer.text)
        assert old["status"] == "nothing is watched: the agent does not run"
        assert old["agent_alive"] is False
        assert old["agent_age"] == 60.4


async def test_healthz_without_an_agent_or_a_journal(tmp_path: Path) -> None:
    async with booted(tmp_path, plan=Plan("fresh")) as site, site.client(login=False) as client:
        answer = await client.get("/healthz")
        assert answer.status == 503
        fresh = json.loads(answer.text)
        assert fresh["agent_age"] is None
        assert fresh["measured_age"] is None
        await site.store.close()
        broken = await client.get("/healthz")
        assert broken.status == 503
        assert json.loads(broken.text) == {"status": "the journal cannot be read"}


async def test_what_the_edge_counts_is_there_too(site: Booted, client: Client, tmp_path: Path) -> None:
    site.app.state.site.meters = tmp_path
    assert "mainstay_edge" not in (await client.get("/metrics")).text
    meter = Meter(tmp_path)
    meter.beat(site.clock.now())
    meter.cell(REQUESTS, "webhooks", "202").add(3)
    meter.cell(CONNECTIONS, "webhooks").set(2)
    for seconds in (0.0004, 0.3, 99):
        meter.histogram(TOOK, "webhooks").observe(seconds)
    meter.beat(site.clock.now())
    found = read((await client.get("/metrics")).text)
    listener = ("listener", "webhooks")
    assert found["mainstay_edge_requests_total", (listener, ("status", "202"))] == 3
    assert found["mainstay_edge_connections", (listener,)] == 2
    for bound, count in (("0.0005", 1), ("0.25", 1), ("0.5", 2), ("+Inf", 3)):
        assert found["mainstay_edge_request_seconds_bucket", (("le", bound), listener)] == count
    assert found["mainstay_edge_request_seconds_count", (listener,)] == 3
    assert found["mainstay_edge_request_seconds_sum", (listener,)] == 99.3004
    meter.close()
