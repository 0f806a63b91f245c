"""A gateway's day: two processes, three routes, an origin that is out, a switch, and a Redis that does not answer."""

from __future__ import annotations

import math
import random
from typing import Any

from mainstay.edge.sight.merge import merged
from mainstay.edge.sight.traffic import BOUNDS, figures
from mainstay.store import gateway as repository
from mainstay.store.base import Tx
from mainstay.store.gateway import Seen, Traffic, together

BAD = "<script>alert('x')</script>\"'>&"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
ROUTES = {"odoo": (14.0, 0.045), "ocr": (2.2, 0.31), "/status": (0.5, 0.002), "": (0.12, 0.0004)}
"""Requests per second and the usual latency of each; the last one is what no route was for."""


def gateway(tx: Tx, now: float, *, hostile: bool = False) -> None:
    """Everything."""
    dice = random.Random(7)
    for hour in range(7 * 24, 24, -1):
        at = now - hour * HOUR
        repository.add(tx, "web1", at, [_traffic(name, at, now, dice, HOUR) for name in ROUTES])
    for minute in range(24 * 60, 0, -1):
        at = now - minute * MINUTE
        repository.add(tx, "web1", at, [_traffic(name, at, now, dice, MINUTE) for name in ROUTES])
    state = merged([_process(now, part, hostile=hostile) for part in (0, 1)], 0)
    fresh = {name: _traffic(name, now, now, dice, MINUTE) for name in ROUTES}
    lately = {
        "seconds": MINUTE,
        "all": figures(together(fresh.values()), MINUTE),
        "routes": {name: figures(one, MINUTE) for name, one in fresh.items()},
    }
    seen = Seen("web1", now - 3.0, {**state, "gone_since": None, "lately": lately})
    repository.put_seen(tx, seen)


def _traffic(name: str, at: float, now: float, dice: random.Random, seconds: float) -> Traffic:
    rate, usual = ROUTES[name]
    age = now - at
    rate *= 0.65 + 0.35 * math.sin(at / DAY * 2 * math.pi) + 0.15 * dice.random()
    bad = 0.22 if name == "ocr" and 13 * MINUTE < age < 20 * MINUTE else 0.001 * dice.random()
    answers = int(rate * seconds)
    limited = int(answers * (0.06 if name == "ocr" and age < 30 * MINUTE else 0.002))
    refused = answers if not name else limited + int(answers * 0.004)
    latencies = [0] * (len(BOUNDS) + 1)
    for share, factor in ((0.5, 0.6), (0.35, 1.1), (0.13, 2.0), (0.02, 6.0)):
        took = usual * factor * (4.0 if bad > 0.1 else 1.0)
        latencies[next((i for i, bound in enumerate(BOUNDS) if took <= bound), len(BOUNDS))] += int(
            answers * share
        )
    failed = int(answers * bad)
    return Traffic(
        name, answers, refused, failed, 0 if not name else answers - refused, limited, refused - limited,
        failed, tuple(latencies),
    )  # fmt: skip


def _process(now: float, part: int, *, hostile: bool) -> dict[str, Any]:
    bad = BAD if hostile else ""

    def origin(
        url: str, state: str = "up", age: float = 3 * DAY, detail: str = "", **more: Any
    ) -> dict[str, Any]:
        usual = {"active": 2, "requests": 1840, "failures": 0, "at": now - 1.0, "failed_at": None}
        return {"url": url, "state": state, "since": now - age, "detail": detail + bad, **usual, **more}

    def route(
        name: str, configured: list[str], *origins: dict[str, Any], swapped: float | None = None
    ) -> Any:
        return {
            "route": name, "configured": configured, "swapped_at": swapped, "websockets": 3,
            "origins": list(origins),
        }  # fmt: skip

    def need(what: str, place: str, state: str, age: float, detail: str) -> dict[str, Any]:
        return {
            "what": what, "place": place, "state": state, "since": now - age, "at": now - 2.0 - part,
            "detail": detail + bad, "grave": False,
        }  # fmt: skip

    odoo, blue = "http://10.0.0.11:8069", "http://10.0.0.13:8069"
    out = origin("http://10.0.0.22:8000", "down", 17 * MINUTE, "it answers 503", active=0, failures=214)
    routes = [
        route(
            "odoo",
            [odoo, "http://10.0.0.12:8069"],
            origin(blue),
            origin(odoo, "draining", active=1),
            swapped=now - 4 * MINUTE,
        ),
        route("ocr", ["http://10.0.0.21:8000", out["url"]], origin("http://10.0.0.21:8000", active=7), out),
        route("/status", ["http://10.0.0.30:9000"], origin("http://10.0.0.30:9000", active=0)),
    ]
    told = (
        "Error 111 connecting to 10.0.0.5:6379. Connection refused.; meanwhile each process counts by itself"
    )
    needs = [
        need("redis", "redis://10.0.0.5:6379/0", "down", 6 * MINUTE, told),
        need("keys", "https://auth.example.com/.well-known/jwks.json", "up", 9 * DAY, "2 keys"),
    ]
    return {"routes": routes, "needs": needs}
