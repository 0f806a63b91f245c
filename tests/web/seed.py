"""Fills a real journal with the recent past of a company: answers, incidents, messages, runs, backups."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from mainstay.core.check import Result, Verdict
from mainstay.store import meta, nodes, results
from mainstay.store.base import Store, Tx
from mainstay.store.nodes import NodeRow
from mainstay.web.plan import Plan
from tests.web.seed_backups import backups
from tests.web.seed_certificates import certificates
from tests.web.seed_gateway import gateway
from tests.web.seed_inbox import webhooks
from tests.web.seed_incidents import incidents
from tests.web.seed_runs import runs
from tests.web.seed_wal import logs

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NODE = "0seednode"
LATENCY = {
    "http": 0.084,
    "certificate": 0.031,
    "tcp": 0.004,
    "postgres": 0.006,
    "redis": 0.0011,
    "disk": 0.0002,
    "command": 0.21,
}
Act = tuple[float, Callable[[Tx], None]]

OK = {
    "http": "200 in 84ms",
    "certificate": "the certificate of api.example.com is valid for 61d, until 22 Jan 2027",
    "tcp": "answers in 4.1ms",
    "postgres": "SELECT 1 in 5.8ms, 41 of 200 connections are in use (20.5%)",
    "redis": "PONG in 1.1ms, 212 MB of 1.0 GB are in use (21%)",
    "disk": "46 % used, 108 GB free",
    "command": "exit 0 in 210ms: oldest entry 2 min",
}
FACTS: dict[str, dict[str, Any]] = {
    "http": {
        "status": 200,
        "size": 1834,
        "dns": 0.0021,
        "connect": 0.0043,
        "tls": 0.0192,
        "first_byte": 0.0581,
    },
    "certificate": {"days_left": 61.2, "issuer": "R11", "names": "api.example.com"},
    "postgres": {"version": "16.4", "role": "primary", "connections": 41, "connections_limit": 200},
    "disk": {"used_percent": 46.0, "inodes_percent": 11.2, "free": 108_000_000_000},
}


async def seed(store: Store, plan: Plan, now: float, *, hostile: bool = False) -> None:
    """Write everything; the newest answers are a few seconds old, so that nothing is late."""
    await store.write(lambda tx: samples(tx, plan, now))
    acts: list[Act] = [
        *incidents(now, hostile=hostile),
        *runs(plan, now, NODE, hostile=hostile),
        *backups(now),
    ]
    await store.write(lambda tx: _play(tx, acts, now))
    await store.write(lambda tx: certificates(tx, now, hostile=hostile))
    await store.write(lambda tx: webhooks(tx, now, hostile=hostile))
    await store.write(lambda tx: logs(tx, now, NODE))
    await store.write(lambda tx: gateway(tx, now, hostile=hostile))
    await store.write(lambda tx: answers(tx, plan, now, hostile=hostile))


def _play(tx: Tx, acts: list[Act], now: float) -> None:
    nodes.join(tx, NodeRow(NODE, "web1", 4211, "agent", now - 12 * DAY, now - 0.4))
    for _, act in sorted(acts, key=lambda pair: pair[0]):
        act(tx)
    for topic in ("incidents", "runs", "backups", "outbox"):
        tx.signal(topic)


# --- answers -------------------------------------------------------------------------------------------------------

OUTAGES = {
    "api/http": [(-0.0018, 0.0), (-6.4 / 24, -6.31 / 24), (-19.0, -18.97), (-44.0, -43.9)],
    "ocr/http": [(-14.0 / 24, -13.1 / 24), (-3.2, -3.0), (-31.0, -30.2)],
    "mail/tcp": [(-20.0 / 24, -19.8 / 24), (-71.0, -70.8)],
    "superset/http": [(-10.0, -9.9)],
}
"""From and to, in days before now."""
SLOW = {"superset/http": 6.0, "odoo/http": 2.2}
UNKNOWN = (-16.6 / 24, -16.2 / 24)
"""The agent's own network was away: every check of other machines was unknown."""


def verdict_at(check: str, days: float) -> Verdict:
    """What a check answered so many days before now (a negative number)."""
    if any(begin <= days <= end for begin, end in OUTAGES.get(check, [])):
        return Verdict.FAIL
    if UNKNOWN[0] <= days <= UNKNOWN[1] and not check.endswith("disk"):
        return Verdict.UNKNOWN
    if check == "db1/disk" and days > -2.6 / 24:
        return Verdict.WARN
    return Verdict.OK


def samples(tx: Tx, plan: Plan, now: float) -> None:
    """A day by the minute and ninety days by the hour."""
    dice = random.Random(7)
    for service in plan.services:
        for check in service.checks:
            tx.many("results.sample", list(_samples(check.id, check.every, now, 60, DAY, dice)))
            tx.many("results.sample", list(_samples(check.id, check.every, now, 3600, 90 * DAY, dice)))
    for span in (60, 3600):
        meta.put(tx, f"summed_up_{span}", repr(now // span * span))


def _samples(
    check: str, every: float, now: float, span: int, reach: float, dice: random.Random
) -> Iterator[dict[str, Any]]:
    usual = LATENCY[check.partition("/")[2]] * SLOW.get(check, 1.0)
    at = (now - reach) // span * span
    while at < now // span * span:
        middle = (at + span / 2 - now) / DAY
        verdict = verdict_at(check, middle)
        many = max(1, round(span / every))
        wave = 1 + 0.35 * math.sin(middle * 2 * math.pi) + 0.12 * dice.random()
        p50 = usual * wave
        p95 = p50 * (1.6 + 0.7 * dice.random() + (3.5 if dice.random() < 0.01 else 0))
        counts = {str(one): many if one is verdict else 0 for one in Verdict}
        silent = verdict in (Verdict.UNKNOWN, Verdict.FAIL)
        yield {
            "check_id": check,
            "span": span,
            "at": at,
            **counts,
            "p50": None if silent else p50,
            "p95": None if silent else p95,
            "slowest": None if silent else p95 * 1.3,
        }
        at += span


def answers(tx: Tx, plan: Plan, now: float, *, hostile: bool = False) -> None:
    """The answers of the last minutes, which make the present state."""
    dice = random.Random(11)
    found: list[Result] = []
    for service in plan.services:
        for check in service.checks:
            steps = max(2, min(40, int(200 / check.every)))
            gap = min(check.every, 20)
            found += [
                _answer(service.name, check.id, now - back * gap - 1.2, now, dice, hostile)
                for back in range(steps, -1, -1)
            ]
    started = [
        _answer(name, f"{name}/{kind}", now - 12 * DAY, now, dice, False) for name, kind in _firsts(plan)
    ]
    results.record(tx, sorted(started + found, key=lambda one: one.at))


def _firsts(plan: Plan) -> list[tuple[str, str]]:
    return [
        (service.name, check.id.partition("/")[2]) for service in plan.services for check in service.checks
    ]


def _answer(service: str, check: str, at: float, now: float, dice: random.Random, hostile: bool) -> Result:
    kind = check.partition("/")[2]
    verdict = verdict_at(check, (at - now) / DAY)
    detail, facts = OK[kind], dict(FACTS.get(kind, {}))
    if verdict is Verdict.FAIL:
        detail = "connection to 203.0.113.20:443 refused after 2ms"
        facts = {"cause": "refused"}
    if verdict is Verdict.WARN:
        detail, facts = (
            "86 % used, 28 GB free: more than 85 %",
            {"used_percent": 86.0, "inodes_percent": 14.0},
        )
    if check == "nginx/certificate":
        facts = {**facts, "days_left": 12.4, "names": "example.com"}
        detail = "the certificate of example.com is valid for 12d 9h, until 5 Dec 2026"
    if hostile:
        detail += " <img src=x onerror=alert(1)> \"'"
        facts["<b>fact</b>"] = "</script><script>alert(2)</script>"
    latency = LATENCY[kind] * SLOW.get(check, 1.0) * (0.8 + 0.5 * dice.random())
    return Result(
        check, service, verdict, detail, at, latency, confirmed=verdict is Verdict.FAIL, facts=facts
    )


def text(value: Any) -> str:
    """JSON as the journal keeps it."""
    return json.dumps(value, ensure_ascii=False)
