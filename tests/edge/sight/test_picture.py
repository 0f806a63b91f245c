"""One picture of several machines: the worst of each counts, and what is old is not called well."""

from __future__ import annotations

from mainstay.edge.sight.picture import picture
from mainstay.store.gateway import Seen
from tests.edge.sight.test_judge import NOW, A, B, need, origin, process, seen


def at_work(row: Seen, rate: float = 0.0) -> Seen:
    figures = {
        "answers": rate, "client_errors": 0.0, "server_errors": 0.0, "limited": 0.0, "unauthorised": 0.0,
        "failed": 0.0, "p50": 0.01, "p99": 0.02 * rate,
    }  # fmt: skip
    lately = {"seconds": 60.0, "all": figures, "routes": {"shop": figures}}
    return Seen(row.host, row.at, {**row.state, "gone_since": None, "lately": lately})


def test_rates_of_machines_add_up_and_the_slower_counts() -> None:
    rows = [at_work(seen(process(origin(A))), 2.0), at_work(seen(process(origin(A)), host="web2"), 3.0)]
    found = picture(rows, NOW)
    (shop,) = found.routes
    assert (shop.lately["answers"], shop.lately["p99"]) == (5.0, 0.06)
    assert found.total is not None
    assert found.total["answers"] == 5.0
    assert [one.host for one in shop.origins] == ["web1", "web2"]
    assert (found.state, found.at, found.fresh) == ("ok", NOW, True)


def test_the_machine_on_which_a_route_fails_decides() -> None:
    well, bad = at_work(seen(process(origin(A)))), at_work(seen(process(origin(A, "down", 50)), host="web2"))
    found = picture([well, bad], NOW)
    (shop,) = found.routes
    assert (shop.state, shop.says, shop.since) == ("fail", "its origin is not well", NOW - 50)
    assert found.state == "fail"


def test_a_part_of_the_processes_is_said() -> None:
    row = at_work(seen(process(origin(A), origin(B)), process(origin(A, "ejected", 5), origin(B))))
    (shop,) = picture([row], NOW).routes
    assert shop.origins[0].detail == "it takes no connection; in 1 of 2 processes"
    assert (shop.state, shop.says) == ("warn", "1 of 2 origins is out")


def test_what_is_needed_and_does_not_answer_is_the_state_too() -> None:
    row = at_work(seen(process(origin(A), needs=(need("redis", 5),))))
    assert picture([row], NOW).state == "warn"
    row = at_work(seen(process(origin(A), needs=(need("keys", 5, grave=True),))))
    assert picture([row], NOW).state == "fail"


def test_what_is_old_is_unknown_and_what_was_never_seen_is_there() -> None:
    old = at_work(seen(process(origin(A)), age=61))
    found = picture([old], NOW, ["shop", "new"])
    assert (found.state, found.fresh, found.at) == ("unknown", False, NOW - 61)
    assert {route.name: route.state for route in found.routes} == {"shop": "ok", "new": "unknown"}
    assert picture([at_work(seen(process(origin(A)), age=86401))], NOW).hosts == ()
    assert picture([], NOW).plain()["state"] == "unknown"


def test_origins_other_than_those_configured_are_called_switched() -> None:
    (shop,) = picture(
        [at_work(seen(process(origin("http://10.0.0.9:80"), origin(A, "draining"))))], NOW
    ).routes
    assert (shop.swapped, [one.state for one in shop.origins]) == (True, ["up", "draining"])
    (same,) = picture([at_work(seen(process(origin(A), origin(B))))], NOW).routes
    assert same.swapped is False
