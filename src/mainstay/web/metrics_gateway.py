"""What `/metrics` says of the gateway, as the agents have seen it: what is out, and for how long."""

from collections.abc import Iterator

from mainstay.edge.sight.merge import BAD
from mainstay.edge.sight.picture import RANK, Picture
from mainstay.web.described import Described

Sample = tuple[str, tuple[str, ...], float]

GATEWAY = (
    Described(
        "mainstay_gateway_seen_age_seconds",
        "Seconds since somebody looked at a machine's gateway; everything else of it is as old as that.",
        ("host",),
    ),
    Described("mainstay_gateway_processes", "Processes that carry the gateway on a machine.", ("host",)),
    Described(
        "mainstay_gateway_route_state",
        "1 for a route's present state (ok, warn: an origin is out, fail: all are, unknown), 0 for the others.",
        ("route", "state"),
    ),
    Described(
        "mainstay_gateway_origin_out_seconds",
        "Seconds for which an origin has been out, 0 while it is well; on the machine where that is longest.",
        ("route", "origin"),
    ),
    Described(
        "mainstay_gateway_need_out_seconds",
        "Seconds for which somebody has not answered the gateway, 0 while they do; `what` is redis, keys, service or "
        "journal.",
        ("what", "place"),
    ),
)


def gateway_samples(seen: Picture, now: float) -> Iterator[Sample]:
    """Give (name, label values, value)."""
    for host in seen.hosts:
        yield "mainstay_gateway_seen_age_seconds", (host.name,), max(0.0, now - host.at)
        yield "mainstay_gateway_processes", (host.name,), host.processes
    for route in seen.routes:
        for state in RANK:
            there = route.state if seen.fresh else "unknown"
            yield "mainstay_gateway_route_state", (route.name, state), float(there == state)
    yield from _out(seen, now)


def _out(seen: Picture, now: float) -> Iterator[Sample]:
    """Say for how long origins, and those whom the gateway needs, have been out; the worst machine counts."""
    longest: dict[tuple[str, str, str], float] = {}
    for route in seen.routes:
        for origin in route.origins:
            out = origin.state in BAD and origin.since is not None
            key = ("mainstay_gateway_origin_out_seconds", route.name, origin.url)
            longest[key] = max(longest.get(key, 0.0), now - origin.since if out and origin.since else 0.0)
    for need in seen.needs:
        key = ("mainstay_gateway_need_out_seconds", need.what, need.place)
        out = need.state == "down" and need.since is not None
        longest[key] = max(longest.get(key, 0.0), now - need.since if out and need.since else 0.0)
    for (name, *labels), seconds in longest.items():
        yield name, tuple(labels), seconds
