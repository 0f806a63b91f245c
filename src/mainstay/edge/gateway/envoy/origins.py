"""How the origins are, by what Envoy says of its clusters, told as the gateway tells it of its own."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mainstay.edge.gateway.export.site import Way

Host = Mapping[str, Any]
DETAILS = {"down": "its health check fails", "ejected": "it takes no connections, or breaks off", "up": ""}


@dataclass(slots=True)
class Seen:
    """What was seen of an origin last, and since when it is so; seconds since 1970."""

    state: str
    since: float
    failures: int = 0
    failed_at: float | None = None


class Origins:
    """Remembers since when each origin is as it is, which Envoy does not say."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Seen] = {}

    def take(
        self, ways: Iterable[Way], clusters: Iterable[Mapping[str, Any]], now: float
    ) -> list[dict[str, Any]]:
        """Give the origins of every route."""
        hosts = {cluster["name"]: cluster.get("host_statuses", []) for cluster in clusters}
        ways = list(ways)
        here = {(way.mark, url) for way in ways for url in way.route.origin}
        for gone in self._seen.keys() - here:
            del self._seen[gone]
        return [
            {
                "route": label, "swaps": 0, "swapped_at": None, "configured": way.route.origin, "websockets": 0,
                "origins": list(self._origins(way, hosts.get(f"mainstay_{way.mark}", []), now)),
            }
            for way in ways
            for label in way.labels
        ]  # fmt: skip

    def _origins(self, way: Way, hosts: list[Host], now: float) -> Iterator[dict[str, Any]]:
        """Give each origin of a way; a name may stand for several addresses."""
        for server, url in zip(way.servers, way.route.origin, strict=True):
            here = [host for host in hosts if host.get("hostname") == server.authority]
            state, failures = _state(here), _sum(here, "rq_error") + _sum(here, "cx_connect_fail")
            seen = self._seen.setdefault((way.mark, url), Seen(state, now))
            if seen.state != state:
                seen.state, seen.since = state, now
            if failures > seen.failures:
                seen.failed_at = now
            seen.failures = failures
            yield {
                "url": url, "state": state, "since": seen.since, "at": now, "failed_at": seen.failed_at,
                "detail": DETAILS[state], "active": _sum(here, "rq_active"), "connections": _sum(here, "cx_active"),
                "requests": _sum(here, "rq_total"), "failures": failures,
            }  # fmt: skip


def _sum(hosts: list[Host], name: str) -> int:
    numbers = (each for host in hosts for each in host.get("stats", []) if each.get("name") == name)
    return sum(int(each.get("value", 0)) for each in numbers)


def _state(hosts: list[Host]) -> str:
    """In a word: the best of its addresses rules; a name without one is down."""
    states = {_of(host.get("health_status", {})) for host in hosts}
    return next((state for state in ("up", "ejected") if state in states), "down")


def _of(health: Mapping[str, Any]) -> str:
    if health.get("failed_active_health_check"):
        return "down"
    return "ejected" if health.get("failed_outlier_check") else "up"
