"""Makes one picture of what the processes of one machine say of the gateway: the worst of each counts."""

from collections.abc import Iterable, Sequence
from typing import Any

WORST = ("down", "ejected", "trial", "unknown", "up", "draining")
"""States of an origin, or of somebody whom the gateway needs, the worst first."""
NAMES = ("url", "what", "place", "grave")
BAD = ("down", "ejected", "trial")
"""States in which an origin is out, or was and has not shown yet that it is well."""


def merged(answers: Sequence[dict[str, Any]], silent: int) -> dict[str, Any]:
    """Give `processes`, `silent`, `routes` with their `origins`, and `needs`, out of what each process said."""
    routes: dict[str, list[dict[str, Any]]] = {}
    needs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for answer in answers:
        for route in answer["routes"]:
            routes.setdefault(route["route"], []).append(route)
        for need in answer["needs"]:
            needs.setdefault((need["what"], need["place"]), []).append(need)
    return {
        "processes": len(answers),
        "silent": silent,
        "routes": [_route(name, several) for name, several in routes.items()],
        "needs": [_worst(several) for several in needs.values()],
    }


def _route(name: str, several: Sequence[dict[str, Any]]) -> dict[str, Any]:
    origins: dict[str, list[dict[str, Any]]] = {}
    for one in several:
        for origin in one["origins"]:
            origins.setdefault(origin["url"], []).append(origin)
    serving = [url for url, each in origins.items() if any(one["state"] != "draining" for one in each)]
    configured = several[0]["configured"]
    swapped = sorted(serving) != sorted(configured)
    return {
        "route": name,
        "configured": configured,
        "swapped": swapped,
        "swapped_at": max((one["swapped_at"] or 0.0 for one in several), default=0.0) or None,
        "websockets": sum(one["websockets"] for one in several),
        "origins": [_origin(each) for each in origins.values()],
    }


def _origin(several: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sums = {name: sum(one[name] for one in several) for name in ("active", "requests", "failures")}
    out = sum(one["state"] in BAD for one in several)
    failed_at = max((one["failed_at"] or 0.0 for one in several), default=0.0) or None
    return {**_worst(several), **sums, "failed_at": failed_at, "out_of": len(several), "out_in": out}


def _worst(several: Sequence[dict[str, Any]]) -> dict[str, Any]:
    worst = min(several, key=lambda one: WORST.index(one["state"]))
    same = [one for one in several if one["state"] == worst["state"]]
    kept: dict[str, Any] = {name: worst[name] for name in NAMES if name in worst}
    return {
        **kept,
        "state": worst["state"],
        "since": min((one["since"] for one in same if one["since"] is not None), default=None),
        "at": max((one["at"] for one in several if one["at"] is not None), default=None),
        "detail": worst["detail"],
    }


def serving(route: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the origins of a route that are meant to get requests."""
    return [one for one in route["origins"] if one["state"] != "draining"]


def bad(origins: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give those of some origins that are out, or have not shown yet that they are well again."""
    return [one for one in origins if one["state"] in BAD]
