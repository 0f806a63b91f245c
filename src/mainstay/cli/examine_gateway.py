"""The examination of the gateway by `mainstay doctor`: what its processes on this machine say, just now."""

from typing import TYPE_CHECKING, Any

from mainstay.cli.words import ago, count, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mainstay.cli.examine import Line
    from mainstay.config.model import Config

PATIENCE = 5.0
REMEDIES = {
    "redis": "look at Redis and at gateway.limits.url",
    "keys": "look at the issuer, and at gateway.auth.tokens",
    "service": "look at that service, and at gateway.auth.remote",
    "journal": "look at the journal",
}


def gateway_lines(config: "Config") -> "list[Line]":
    """Ask every process of this machine; give a line for each route with origins, and for whom the gateway needs."""
    from mainstay.edge.http.meter import DIRECTORY
    from mainstay.edge.proxy.control import states
    from mainstay.edge.sight.merge import merged

    answers, silent = states(config.state_dir / DIRECTORY, PATIENCE)
    return list(_lines(merged(answers, silent), max((one["at"] for one in answers), default=0.0)))


def _lines(state: dict[str, Any], now: float) -> "Iterator[Line]":
    from mainstay.cli.examine import WARN, Line

    if state["silent"]:
        told = f"{state['silent']} of its processes gave no answer within {PATIENCE:g}s"
        yield Line(WARN, "gateway", told, "look at the edge's log")
    for route in state["routes"]:
        if route["origins"]:
            yield _route(route, now)
    for need in state["needs"]:
        yield _need(need, now)


def _route(route: dict[str, Any], now: float) -> "Line":
    from mainstay.cli.examine import FAIL, OK, WARN, Line
    from mainstay.edge.sight.merge import bad, serving

    there = serving(route)
    out = bad(there)
    switched = " (switched by hand)" if route["swapped"] else ""
    what = f"route {route['route']}"
    if not out:
        return Line(OK, what, f"{count(len(there), 'origin')} up{switched}")
    told = "; ".join(
        f"{one['url']} {one['state']} for {span(now - one['since'])}: {one['detail']}" for one in out
    )
    state = FAIL if len(out) == len(there) else WARN
    return Line(state, what, f"{len(out)} of {count(len(there), 'origin')} out: {told}{switched}", "start it")


def _need(need: dict[str, Any], now: float) -> "Line":
    from mainstay.cli.examine import FAIL, OK, WARN, Line

    asked = f"asked {ago(need['at'], now)}" if need["at"] else "not asked yet"
    what = f"gateway's {need['what']}"
    if need["state"] != "down":
        answer = "answers" if need["state"] == "up" else "nothing known"
        return Line(OK, what, f"{need['place']}: {answer}, {asked}")
    told = f"{need['place']}: no answer for {span(now - need['since'])}, {asked}: {need['detail']}"
    return Line(FAIL if need["grave"] else WARN, what, told, REMEDIES[need["what"]])
