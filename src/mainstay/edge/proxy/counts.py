"""What the gateway counts, for `/metrics`."""

from collections.abc import Sequence

from mainstay.edge.gateway.contact import Contact
from mainstay.edge.http.meter import Cell, Family, Meter
from mainstay.edge.proxy.origin import TAKING
from mainstay.edge.proxy.plane import Plane

REQUESTS = Family(
    "mainstay_gateway_requests",
    "Requests by route and outcome: admitted, limited, unauthorised, refused (any other refusal of ours), failed (the "
    "origin gave no whole answer), gone (the client did not wait). Those that no route is for have none.",
    ("route", "outcome"),
)
ACTIVE = Family(
    "mainstay_gateway_origin_active", "Requests under way at an origin.", ("route", "origin"), kind="gauge"
)
FAILURES = Family(
    "mainstay_gateway_origin_failures",
    "Times that an origin took no connection, gave no answer in time or broke off.",
    ("route", "origin"),
)
OUT = Family(
    "mainstay_gateway_origin_out",
    "Processes of the edge in which an origin gets no requests: it fails, or its health check does.",
    ("route", "origin"),
    kind="gauge",
)
TUNNELS = Family("mainstay_gateway_websockets", "WebSockets that are open.", ("route",), kind="gauge")

NEEDS_DOWN = Family(
    "mainstay_gateway_needs_down",
    "Processes of the edge that got no answer the last time they asked what they need: `redis` (limits), `keys` "
    "(JWKS), `service` (which knows tokens), `journal` (API keys).",
    ("what", "place"),
    kind="gauge",
)

FAMILIES = (REQUESTS, ACTIVE, FAILURES, OUT, TUNNELS, NEEDS_DOWN)

_LIMITED = ("address_limited", "plan_limited", "route_limited", "forged")
OUTCOMES = {
    "": "admitted",
    "client_gone": "gone",
    "unauthorised": "unauthorised",
    **dict.fromkeys(_LIMITED, "limited"),
}
FAILED = ("origin_", "no_origin", "overloaded", "too_many", "loop_", "tunnel_")


def outcome(why: str) -> str:
    """Give the outcome that a reason belongs to."""
    known = OUTCOMES.get(why)
    return known or ("failed" if why.startswith(FAILED) else "refused")


class Counts:
    """The gateway's numbers."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._requests: dict[tuple[str, str], Cell] = {}
        self._shown: dict[tuple[str, str], tuple[Cell, Cell, Cell]] = {}
        self._told: dict[tuple[str, str], int] = {}
        self._tunnels: dict[str, Cell] = {}
        self._needs: dict[tuple[str, str], Cell] = {}

    def request(self, route: str, why: str) -> None:
        """Count a request; `why` there is no answer of an origin, "" when there is one."""
        cell = self._requests.get((route, why))
        if cell is None:
            cell = self._requests[route, why] = self._meter.cell(REQUESTS, route, outcome(why))
        cell.add()

    def look(self, plane: Plane, contacts: Sequence[Contact] = ()) -> None:
        """Say how the origins, and those whom the gateway itself needs, are doing now."""
        self._look_around(contacts)
        seen = set()
        for group in plane.groups.values():
            route = group.way.label
            if route not in self._tunnels:
                self._tunnels[route] = self._meter.cell(TUNNELS, route)
            self._tunnels[route].set(group.tunnels)
            for origin in (*group.origins, *group.draining):
                key = (route, origin.url)
                seen.add(key)
                active, failures, out = self._cells(key)
                active.set(origin.active)
                out.set(0.0 if origin.state() in TAKING else 1.0)
                before = self._told.get(key, 0)
                if origin.tally.failures > before:
                    failures.add(origin.tally.failures - before)
                self._told[key] = origin.tally.failures
        for key in self._shown.keys() - seen:
            self._told.pop(key, None)
            for cell in (self._shown[key][0], self._shown[key][2]):
                cell.set(0.0)

    def _look_around(self, contacts: Sequence[Contact]) -> None:
        now: dict[tuple[str, str], bool] = {(one.what, one.place): one.well is False for one in contacts}
        for key in self._needs.keys() | now.keys():
            if key not in self._needs:
                self._needs[key] = self._meter.cell(NEEDS_DOWN, *key)
            self._needs[key].set(float(now.get(key, False)))

    def _cells(self, key: tuple[str, str]) -> tuple[Cell, Cell, Cell]:
        if key not in self._shown:
            cell = self._meter.cell
            self._shown[key] = (cell(ACTIVE, *key), cell(FAILURES, *key), cell(OUT, *key))
        return self._shown[key]
