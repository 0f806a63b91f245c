"""`GET /services/NAME`: one service, its checks, its day, its troubles; and the form that silences it."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.core.errors import MainstayError
from mainstay.store import audit, silences, views
from mainstay.store.base import Row, Tx
from mainstay.web.bars import FAIL, NONE, OK, TICKS, UNKNOWN, WARN, describe
from mainstay.web.health import ServiceHealth, health
from mainstay.web.pages.account import local
from mainstay.web.plan import ServicePlan
from mainstay.web.security import Form
from mainstay.web.series import RANGES, drawing, latencies
from mainstay.web.site import Site, missing, show, site_of

DAY = 86400.0
SILENCES = {"1800": "30 minutes", "3600": "1 hour", "14400": "4 hours", "86400": "1 day", "604800": "7 days"}
BRIEF = 0.01
"""A day with a smaller share of failed answers counts as a warning, not as a failing day."""


async def service(request: Request) -> Response:
    """One service."""
    site = site_of(request)
    plan = site.plan.service(request.path_params["name"])
    if plan is None:
        return await missing(request, "There is no such service")
    await site.bars.refresh(site.checks)
    now = site.clock.now()
    span = request.query_params.get("range", "24h")
    span = span if span in RANGES else "24h"
    wanted = request.query_params.get("check", "")

    def look(tx: Tx) -> dict[str, Any]:
        return gather(tx, site, plan, span, wanted, now)

    return await show(request, "service.html", look)


def gather(tx: Tx, site: Site, plan: ServicePlan, span: str, wanted: str, now: float) -> dict[str, Any]:
    """Everything that the page needs of the journal."""
    held = views.silences(tx, now)
    incidents = views.incidents(tx, service=plan.name, limit=8)
    live = [row for row in incidents if row["resolved_at"] is None]
    one = next(
        one
        for one in health(site.plan, views.service_states(tx, plan.name), held, live, now)
        if one.plan is plan
    )
    checks = [check.plan.id for check in one.checks]
    plotted = wanted if wanted in checks else _interesting(one)
    points = latencies(tx, plotted, span, now) if plotted else []
    reach = RANGES[span][0]
    window = site.bars.window()
    ticks = site.bars.ticks(checks, window)
    uptime = site.bars.uptime(checks)
    long, good = ninety_days(tx, checks, now)
    long = long[:-1] + bytes([max(long[-1], FAIL if one.state == "fail" else NONE)])
    return {
        "one": one,
        "window": window,
        "ticks": ticks,
        "ticks_label": describe(ticks, window.label, uptime),
        "uptime": uptime,
        "long": long,
        "long_label": describe(long, "90 days", good),
        "long_good": good,
        "range": span,
        "ranges": list(RANGES),
        "plotted": plotted,
        "plot": drawing(points, now - reach, now),
        "plot_from": now - reach,
        "incidents": incidents,
        "bad": alike(views.last_bad(tx, plan.name, now - DAY, 200))[:8],
        "silences": [row for row in held if row["service"] in (plan.name, "*")],
        "durations": SILENCES,
    }


def alike(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Answers from the newest back, those that say the same in a row as one."""
    found: list[dict[str, Any]] = []
    for row in rows:
        check = row["check_id"].partition("/")[2]
        same = found and (found[-1]["check"], found[-1]["tone"], found[-1]["detail"]) == (
            check,
            row["verdict"],
            row["detail"],
        )
        if same:
            found[-1]["times"] += 1
            found[-1]["first"] = row["at"]
        else:
            found.append(
                {
                    "check": check,
                    "tone": row["verdict"],
                    "detail": row["detail"],
                    "times": 1,
                    "first": row["at"],
                    "last": row["at"],
                }
            )
    return found


def _interesting(one: ServiceHealth) -> str:
    """The check whose latency is worth a plot: the first that has one."""
    return next((check.plan.id for check in one.checks if check.latency is not None), "")


def ninety_days(tx: Tx, checks: list[str], now: float) -> tuple[bytes, float | None]:
    """A tick for each of the last ninety days, and the share of good answers in them (of the worst check)."""
    first = now // DAY * DAY - (TICKS - 1) * DAY
    days = [[0, 0, 0, 0] for _ in range(TICKS)]
    shares: list[float] = []
    for check in checks:
        good = bad = 0
        for row in views.series(tx, check, 3600, first):
            sums = days[min(TICKS - 1, int((row["at"] - first) // DAY))]
            for at, name in enumerate(("ok", "warn", "fail", "unknown")):
                sums[at] += row[name]
            good += row["ok"] + row["warn"]
            bad += row["fail"]
        if good + bad:
            shares.append(good / (good + bad))
    return bytes(day(*sums) for sums in days), min(shares, default=None)


def day(ok: int, warn: int, fail: int, unknown: int) -> int:
    """What a day amounts to."""
    told = ok + warn + fail
    if fail:
        return FAIL if fail / told >= BRIEF else WARN
    if warn and warn / told >= BRIEF:
        return WARN
    if told:
        return OK if told >= unknown else UNKNOWN
    return UNKNOWN if unknown else NONE


async def silence(request: Request, form: Form) -> Response:
    """`POST /services/NAME/silence`."""
    site, now = site_of(request), site_of(request).clock.now()
    name = request.path_params["name"]
    if site.plan.service(name) is None:
        return await missing(request, "There is no such service")
    why = form.get("why", "").strip()[:300]
    seconds = form.get("seconds", "")
    if not why or seconds not in SILENCES:
        raise MainstayError("a silence needs a reason and an end", hint="go back and say why it is silenced")
    who = request.state.login.account

    def unit(tx: Tx) -> None:
        silences.add(tx, name, from_at=now, until_at=now + float(seconds), why=why, who=who, now=now)
        audit.note(tx, who, "silence.add", name, now, why=why, seconds=seconds)

    await site.store.write(unit)
    return RedirectResponse(f"/services/{name}#silence", 303)


async def end_silence(request: Request, form: Form) -> Response:
    """`POST /silences/ID/end`."""
    site, now = site_of(request), site_of(request).clock.now()
    who, held = request.state.login.account, request.path_params["id"]

    def unit(tx: Tx) -> None:
        silences.end(tx, held, now)
        audit.note(tx, who, "silence.end", held, now)

    await site.store.write(unit)
    return RedirectResponse(local(form.get("back", "/")), 303)
