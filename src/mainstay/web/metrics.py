"""`/metrics` for Prometheus and `/healthz` for load balancers and watchdogs, both straight from the journal."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mainstay import __version__
from mainstay.core.errors import MainstayError
from mainstay.edge.families import FAMILIES
from mainstay.edge.http.meter import Family, read
from mainstay.edge.http.meter import Sample as Counted
from mainstay.edge.sight.picture import Picture, picture
from mainstay.store import gateway, views
from mainstay.store.base import Row, Tx
from mainstay.store.inbox import imported
from mainstay.web.described import Described
from mainstay.web.health import ServiceHealth, health
from mainstay.web.metrics_gateway import GATEWAY, gateway_samples
from mainstay.web.metrics_log import LOG, Log, log_of, log_samples
from mainstay.web.metrics_wal import WAL, wal_samples
from mainstay.web.pages import certificates, inbox
from mainstay.web.pages.backups import DatabaseLine, lines
from mainstay.web.pages.certificates import CertificateLine
from mainstay.web.pages.inbox import SourceLine
from mainstay.web.plan import Plan
from mainstay.web.security import problem
from mainstay.web.site import STALE, site_of

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LOOPBACK = ("127.0.0.1", "::1")
NEAR = ("localhost", *LOOPBACK)
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


METRICS = (
    Described("mainstay_build_info", "Always 1; the label says which version runs.", ("version",)),
    Described(
        "mainstay_agent_beat_age_seconds",
        "Seconds since the agent was last alive; everything else is as old as that.",
    ),
    Described(
        "mainstay_check_up",
        "1 when the check's present answer is ok or warn, 0 when it is fail; left out when it is unknown.",
        ("service", "check"),
    ),
    Described(
        "mainstay_check_state",
        "1 for the check's present state (ok, warn, fail, unknown, waiting), 0 for the others.",
        ("service", "check", "state"),
    ),
    Described(
        "mainstay_check_latency_seconds", "How long the check's present answer took.", ("service", "check")
    ),
    Described(
        "mainstay_check_age_seconds", "Seconds since the check's present answer.", ("service", "check")
    ),
    Described(
        "mainstay_check_certificate_days",
        "Days until the certificate that the check saw is no longer valid.",
        ("service", "check"),
    ),
    Described("mainstay_incidents_open", "Open incidents by severity.", ("severity",)),
    Described(
        "mainstay_incident_open_seconds",
        "Seconds since the first failed answer of each open incident.",
        ("service", "severity", "key"),
    ),
    Described(
        "mainstay_backup_age_seconds",
        "Seconds since the newest backup of the database was taken.",
        ("database",),
    ),
    Described("mainstay_backup_bytes", "Size of the newest backup of the database.", ("database",)),
    Described(
        "mainstay_backup_proven_age_seconds",
        "Seconds since a restored copy of the database was last found equal.",
        ("database",),
    ),
    Described("mainstay_backup_proven_rows", "Rows that were compared in that proof.", ("database",)),
    Described("mainstay_backup_proof_seconds", "How long that proof took.", ("database",)),
    Described(
        "mainstay_certificate_left_seconds",
        "Seconds until the certificate ends; below 0 after.",
        ("certificate",),
    ),
    Described(
        "mainstay_certificate_seen_age_seconds",
        "Seconds since the certificate was last seen at all of its servers.",
        ("certificate",),
    ),
    Described("mainstay_certificate_failures", "Failed renewals in a row.", ("certificate",)),
    Described("mainstay_outbox_owed", "Messages that a channel is owed.", ("channel",)),
    Described(
        "mainstay_outbox_oldest_age_seconds",
        "Seconds that the oldest owed message waits; 0 when nothing is owed.",
        ("channel",),
    ),
    Described(
        "mainstay_outbox_sent",
        "Messages that the channel has accepted and the journal still keeps.",
        ("channel",),
    ),
    Described("mainstay_outbox_refused", "Messages that the channel will never accept.", ("channel",)),
    Described("mainstay_inbox_waiting", "Webhooks of a source that are not delivered yet.", ("source",)),
    Described(
        "mainstay_inbox_oldest_age_seconds",
        "Seconds that the oldest webhook which is not delivered waits; 0 when none does.",
        ("source",),
    ),
    *LOG,
    Described("mainstay_inbox_dead", "Dead letters of a source.", ("source",)),
    Described("mainstay_inbox_kept", "Webhooks of a source that are brought to nobody.", ("source",)),
    Described(
        "mainstay_inbox_delivered",
        "Webhooks of a source that its target has taken since the journal began.",
        ("source",),
    ),
    Described(
        "mainstay_inbox_retried",
        "Attempts of a source that were to be repeated, since the journal began.",
        ("source",),
    ),
    Described(
        "mainstay_inbox_target_up",
        "1 while the target takes webhooks, 0 while it is left alone.",
        ("source",),
    ),
    *WAL,
    *GATEWAY,
    Described("mainstay_runs", "Runs in the journal by job and state.", ("job", "state")),
    Described(
        "mainstay_job_last_success_age_seconds", "Seconds since a run of the job was last done.", ("job",)
    ),
)
"""Every metric there is, for the reference."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent look at the journal."""

    now: float
    frame: Row
    services: list[ServiceHealth]
    incidents: list[Row]
    databases: list[DatabaseLine]
    channels: dict[str, Row]
    runs: list[Row]
    sources: list[SourceLine]
    certificates: list[CertificateLine]
    gateway: Picture
    imported: dict[str, int]
    """How far each segment of the edges' logs was read."""


def look(tx: Tx, plan: Plan, now: float) -> Snapshot:
    """Read what the metrics are made of."""
    opened = views.open_incidents(tx)
    return Snapshot(
        now,
        views.frame(tx),
        health(plan, views.states(tx), [], opened, now),
        opened,
        lines(tx, plan, now),
        {one.name: {} for one in plan.channels} | views.channels(tx),
        views.run_counts(tx),
        inbox.lines(tx, plan),
        certificates.lines(tx, plan, now),
        picture(gateway.seen(tx), now, [route.name for route in plan.routes if route.origins]),
        imported(tx),
    )


Sample = tuple[str, tuple[str, ...], float]


def samples(seen: Snapshot) -> Iterator[Sample]:
    """Give (name, label values, value)."""
    yield "mainstay_build_info", (__version__,), 1
    if seen.frame.get("beat_at") is not None:
        yield "mainstay_agent_beat_age_seconds", (), max(0.0, seen.now - seen.frame["beat_at"])
    yield from _checks(seen)
    yield from _incidents(seen)
    yield from _backups(seen)
    logs = {line.plan.name: line.log for line in seen.databases if line.log}
    yield from wal_samples(logs, seen.now)
    yield from _certificates(seen)
    yield from _channels(seen)
    yield from _inbox(seen)
    yield from gateway_samples(seen.gateway, seen.now)
    yield from _runs(seen)


def _checks(seen: Snapshot) -> Iterator[Sample]:
    for service in seen.services:
        for check in service.checks:
            labels = (service.plan.name, check.plan.id.partition("/")[2] or check.plan.name)
            if check.state in ("ok", "warn", "fail"):
                yield "mainstay_check_up", labels, float(check.state != "fail")
            for state in ("ok", "warn", "fail", "unknown", "waiting"):
                yield "mainstay_check_state", (*labels, state), float(check.state == state)
            if check.latency is not None:
                yield "mainstay_check_latency_seconds", labels, check.latency
            if check.at is not None:
                yield "mainstay_check_age_seconds", labels, max(0.0, seen.now - check.at)
            if check.cert_days is not None:
                yield "mainstay_check_certificate_days", labels, check.cert_days


def _incidents(seen: Snapshot) -> Iterator[Sample]:
    for severity in ("critical", "warning", "info"):
        yield (
            "mainstay_incidents_open",
            (severity,),
            sum(row["severity"] == severity for row in seen.incidents),
        )
    for row in seen.incidents:
        yield (
            "mainstay_incident_open_seconds",
            (row["service"], row["severity"], row["key"]),
            max(0.0, seen.now - row["failed_at"]),
        )


def _backups(seen: Snapshot) -> Iterator[Sample]:
    for line in seen.databases:
        label = (line.plan.name,)
        if line.last:
            yield "mainstay_backup_age_seconds", label, max(0.0, seen.now - line.last["taken_at"])
            yield "mainstay_backup_bytes", label, line.last["bytes"]
        if line.proof:
            yield "mainstay_backup_proven_age_seconds", label, max(0.0, seen.now - line.proof["at"])
            yield "mainstay_backup_proven_rows", label, line.proof["rows"]
            yield "mainstay_backup_proof_seconds", label, line.proof["seconds"]


def _certificates(seen: Snapshot) -> Iterator[Sample]:
    for line in seen.certificates:
        label = (line.plan.name,)
        if line.left is not None:
            yield "mainstay_certificate_left_seconds", label, line.left
        if line.row.served_at is not None:
            yield "mainstay_certificate_seen_age_seconds", label, max(0.0, seen.now - line.row.served_at)
        yield "mainstay_certificate_failures", label, line.row.failures


def _channels(seen: Snapshot) -> Iterator[Sample]:
    for name, row in seen.channels.items():
        since = row.get("owed_since")
        yield "mainstay_outbox_owed", (name,), row.get("owed") or 0
        yield (
            "mainstay_outbox_oldest_age_seconds",
            (name,),
            max(0.0, seen.now - since) if since is not None else 0.0,
        )
        yield "mainstay_outbox_sent", (name,), row.get("sent") or 0
        yield "mainstay_outbox_refused", (name,), row.get("refused") or 0


def _inbox(seen: Snapshot) -> Iterator[Sample]:
    for line in seen.sources:
        label = (line.plan.name,)
        waits = 0.0 if line.oldest_at is None else max(0.0, seen.now - line.oldest_at)
        yield "mainstay_inbox_waiting", label, line.waiting
        yield "mainstay_inbox_oldest_age_seconds", label, waits
        yield "mainstay_inbox_dead", label, line.dead
        yield "mainstay_inbox_kept", label, line.kept
        yield "mainstay_inbox_delivered", label, line.delivery.delivered
        yield "mainstay_inbox_retried", label, line.delivery.retried
        yield "mainstay_inbox_target_up", label, float(not line.open)


def _runs(seen: Snapshot) -> Iterator[Sample]:
    for row in seen.runs:
        yield "mainstay_runs", (row["job"], row["state"]), row["runs"]
        if row["state"] == "done" and row["finished_at"] is not None:
            yield (
                "mainstay_job_last_success_age_seconds",
                (row["job"],),
                max(0.0, seen.now - row["finished_at"]),
            )


class Collector:
    """Gives one snapshot to a registry of its own."""

    def __init__(self, seen: Snapshot, log: Log) -> None:
        self.seen = seen
        self.log = log

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        families = {one.name: GaugeMetricFamily(one.name, one.help, labels=one.labels) for one in METRICS}
        for name, labels, value in samples(self.seen):
            families[name].add_metric(labels, value)
        for name, labels, value in log_samples(self.log, self.seen.now):
            families[name].add_metric(labels, value)
        return families.values()


class EdgeCollector:
    """Gives what the processes of the edge have counted together; nothing where there is no edge."""

    def __init__(self, counted: dict[Counted, float]) -> None:
        self.counted = counted

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for family in FAMILIES:
            if family.kind == "histogram":
                made = self._histogram(family)
            else:
                counter = family.kind == "counter"
                name = family.name + ("_total" if counter else "")
                kind = CounterMetricFamily if counter else GaugeMetricFamily
                made = kind(family.name, family.help, labels=family.labels)
                for (counted, labels), value in self.counted.items():
                    if counted == name:
                        made.add_metric(labels, value)
            if made.samples:
                yield made

    def _histogram(self, family: Family) -> "Metric":
        from prometheus_client.core import HistogramMetricFamily

        made = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for (name, labels), total in self.counted.items():
            if name != family.name + "_sum":
                continue
            buckets, sum_so_far = [], 0.0
            for bound in [f"{each:g}" for each in family.bounds] + ["+Inf"]:
                sum_so_far += self.counted.get((family.name + "_bucket", (*labels, bound)), 0.0)
                buckets.append((bound, sum_so_far))
            made.add_metric(labels, buckets, total)
        return made


async def metrics(request: Request) -> Response:
    """`GET /metrics`: open to this machine itself when no token is set, else to the token or a login."""
    if not allowed(request):
        return problem(
            401, "metrics are not open to you", "set web.token and send Authorization: Bearer TOKEN"
        )
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    site = site_of(request)
    seen = await site.store.read(lambda tx: look(tx, site.plan, site.clock.now()))
    registry = CollectorRegistry(auto_describe=False)
    log = await log_of(site, seen.imported)
    registry.register(Collector(seen, log))
    if site.meters is not None:
        registry.register(EdgeCollector(await asyncio.to_thread(read, site.meters, site.clock.now())))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def allowed(request: Request) -> bool:
    """Whether the metrics may be read: with a login, with the token, or from this very machine if there is no token.

    A request that a proxy handed on, or that names another host (a page that plays tricks with names), is not local.
    """
    if request.state.login or request.state.script:
        return True
    if site_of(request).settings.token is not None or request.client is None:
        return False
    handed_on = any(name in request.headers for name in FORWARDED)
    return request.client.host in LOOPBACK and request.url.hostname in NEAR and not handed_on


async def healthz(request: Request) -> Response:
    """`GET /healthz`: 200 while the agent lives and the journal can be read, with the age of what was measured.

    503 otherwise: whoever watches mainstay from outside may only look at the code.
    """
    site = site_of(request)
    try:
        frame = await site.store.read(views.frame)
    except MainstayError:
        return JSONResponse({"status": "the journal cannot be read"}, 503)
    now = site.clock.now()
    found: dict[str, Any] = {"status": "ok", "version": __version__}
    for name, column in (("agent_age", "beat_at"), ("measured_age", "measured_at")):
        found[name] = None if frame[column] is None else round(max(0.0, now - frame[column]), 3)
    found["agent_alive"] = found["agent_age"] is not None and found["agent_age"] < STALE
    if not found["agent_alive"]:
        found["status"] = "nothing is watched: the agent does not run"
    return JSONResponse(found, 200 if found["agent_alive"] else 503)
