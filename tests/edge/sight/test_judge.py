"""What people are told of the gateway, and when: a pure function of what was seen."""

from __future__ import annotations

from typing import Any

import pytest

from mainstay.edge.sight.judge import judge, settle
from mainstay.edge.sight.merge import merged
from mainstay.store.gateway import Seen

NOW = 1_800_000_000.0
A, B = "http://10.0.0.1:80", "http://10.0.0.2:80"


def origin(url: str, state: str = "up", age: float = 0.0, **more: Any) -> dict[str, Any]:
    usual = {"since": NOW - age, "at": NOW, "failed_at": NOW - 1, "detail": "it takes no connection"}
    return {"url": url, "state": state, "active": 1, "requests": 5, "failures": 2, **usual, **more}


def process(*origins: dict[str, Any], needs: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    route = {"route": "shop", "configured": [A, B], "swapped_at": None, "websockets": 1}
    return {"routes": [{**route, "origins": list(origins)}], "needs": list(needs)}


def need(what: str, age: float, *, grave: bool = False, state: str = "down") -> dict[str, Any]:
    return {
        "what": what, "place": "redis://r:6379/0", "state": state, "since": NOW - age, "at": NOW,
        "detail": "refused", "grave": grave,
    }  # fmt: skip


def seen(*processes: dict[str, Any], host: str = "web1", age: float = 0.0) -> Seen:
    return Seen(host, NOW - age, merged(processes, 0))


def told(*rows: Seen) -> dict[str, str]:
    return {trouble.key: str(trouble.severity) for trouble in judge(rows, NOW).troubles}


ROUTE, ORIGIN = "gateway:route:shop", f"gateway:origin:shop {A}"


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        ([origin(A), origin(B)], {}),
        ([origin(A, "down", 30), origin(B)], {}),  # a restart
        ([origin(A, "down", 70), origin(B)], {ORIGIN: "warning"}),
        ([origin(A, "ejected", 70), origin(B)], {ORIGIN: "warning"}),
        ([origin(A, "trial", 70), origin(B)], {ORIGIN: "warning"}),  # between two trials it is no better
        ([origin(A, "trial", 900, failed_at=NOW - 400), origin(B)], {}),  # nobody has tried it since
        ([origin(A, "draining", 70), origin(B)], {}),  # taken away on purpose
        ([origin(A, "down", 70), origin(B, "down", 5)], {}),
        ([origin(A, "down", 70), origin(B, "ejected", 11)], {ROUTE: "critical"}),
        ([origin(A, "down", 11), origin(B, "draining")], {ROUTE: "critical"}),
        ([], {}),
    ],
)
def test_origins(origins: list[dict[str, Any]], expected: dict[str, str]) -> None:
    assert told(seen(process(*origins))) == expected


def test_what_one_process_sees_counts_and_so_does_one_machine() -> None:
    assert told(seen(process(origin(A), origin(B)), process(origin(A, "down", 70), origin(B)))) == {
        ORIGIN: "warning"
    }
    rows = [seen(process(origin(A))), seen(process(origin(A, "down", 70)), host="web2")]
    (trouble,) = judge(rows, NOW).troubles
    assert (trouble.key, trouble.title) == (ROUTE, "shop: no origin is well")
    assert trouble.detail == f"{A}: it takes no connection (on web2)"


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ([need("redis", 10)], {}),
        ([need("redis", 31)], {"gateway:need:redis redis://r:6379/0": "warning"}),
        ([need("service", 31, grave=True)], {"gateway:need:service redis://r:6379/0": "critical"}),
        ([need("redis", 31, state="unknown")], {}),
    ],
)
def test_needs(needs: list[dict[str, Any]], expected: dict[str, str]) -> None:
    assert told(seen(process(origin(A), needs=tuple(needs)))) == expected


def ended(rows: list[Seen], *live: str) -> list[str]:
    over: list[str] = []
    settle(judge(rows, NOW), live, lambda trouble: None, over.append)
    return over


def test_what_is_over_is_ended_and_nothing_else() -> None:
    well = seen(process(origin(A), origin(B)))
    assert ended([well], ROUTE, ORIGIN, "check:web/http") == [ROUTE, ORIGIN]
    # One that is out for a moment again, or one of a route that is wholly out, is not over.
    assert ended([seen(process(origin(A, "ejected", 1), origin(B)))], ORIGIN) == []
    assert ended([seen(process(origin(A, "down", 99), origin(B, "down", 99)))], ORIGIN, ROUTE) == []
    assert ended([seen(process(origin(B)))], ORIGIN) == [ORIGIN]  # it was taken out of the route


def test_nothing_is_over_while_a_machine_is_not_looked_at() -> None:
    well, old = seen(process(origin(A))), seen(process(origin(A, "down", 99)), host="web2", age=61)
    gone = Seen("web3", NOW, merged((), 1))
    assert ended([well, old], ROUTE) == []
    assert told(well, old) == {}
    assert ended([well, gone], ROUTE) == []
    assert ended([well, seen(process(origin(A)), host="web2", age=86401)], ROUTE) == [ROUTE]  # long gone
