"""The sentence at the top in every situation, and what pages make of unusual rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mainstay.store.base import Row
from mainstay.web.health import CheckHealth, ServiceHealth, facts_of, judge
from mainstay.web.pages.backups import faults, read_json
from mainstay.web.pages.overview import verdict
from mainstay.web.pages.problems import Problem
from mainstay.web.plan import CheckPlan, ServicePlan
from mainstay.web.series import columns, latencies
from mainstay.web.site import Beat
from mainstay.web.timeline import figures, timeline

NOW = 1_795_000_000.0
ALIVE = Beat({"beat_at": NOW - 1, "measured_at": NOW - 1}, NOW)
CHECK = CheckPlan("s/http", "http", "https://example.com", 10)


def service(title: str, state: str) -> ServiceHealth:
    """A service in a state."""
    return ServiceHealth(ServicePlan(title, title), (CheckHealth(CHECK, state),))


def problem(title: str, severity: str = "warning", doing: str = "") -> Problem:
    """An open incident."""
    row = {"id": "i", "title": title, "severity": severity, "failed_at": NOW, "state": "open", "service": "s"}
    return Problem(row, doing, bool(doing), ())


@pytest.mark.parametrize(
    ("states", "opened", "tone", "sentence"),
    [
        ([], [], "unknown", "Nothing is watched yet."),
        (["ok", "ok"], [], "ok", "All 2 services healthy."),
        (["ok"], [], "ok", "s0 is healthy."),
        (["fail", "ok"], [], "fail", "s0 is failing."),
        (["fail", "fail", "warn"], [], "fail", "s0 and s1 are failing."),
        (["fail"] * 5, [], "fail", "s0, s1 and 3 more are failing."),
        (["ok"], [problem("The job backup:shop failed", "critical")], "fail", "The job backup:shop failed."),
        (["ok"], [problem("a", "critical"), problem("b")], "fail", "2 problems open."),
        (["ok", "warn"], [], "warn", "s1 needs a look."),
        (["warn", "warn"], [], "warn", "s0 and s1 need a look."),
        (["ok"], [problem("The job clean failed")], "warn", "The job clean failed."),
        (["ok", "unknown"], [], "unknown", "1 service could not be measured, the others are healthy."),
        (["waiting", "waiting"], [], "unknown", "Nothing has been measured yet."),
    ],
)
def test_the_sentence(states: list[str], opened: list[Problem], tone: str, sentence: str) -> None:
    services = [service(f"s{number}", state) for number, state in enumerate(states)]
    said = verdict(services, opened, ALIVE)
    assert (said.tone, said.sentence) == (tone, sentence)


def test_what_is_being_done_stands_beside_it() -> None:
    said = verdict([service("api", "fail")], [problem("x", "critical", "Healing now: attempt 1 of 3")], ALIVE)
    assert said.detail == "Healing now: attempt 1 of 3. 0 of 1 service healthy."


def test_a_silent_agent_outweighs_every_light() -> None:
    for frame, words in (
        ({"beat_at": NOW - 3600}, "has not been heard of for 1 h"),
        ({"beat_at": None}, "does not run"),
    ):
        said = verdict([service("api", "ok")], [], Beat({**frame, "measured_at": None}, NOW))
        assert said.tone == "unknown"
        assert words in said.sentence


def test_a_services_worst_check_decides() -> None:
    one = ServiceHealth(
        ServicePlan("s", "s"),
        (
            CheckHealth(CHECK, "ok", since=10.0, facts={"days_left": 40.0}),
            CheckHealth(CHECK, "fail", detail="no answer", since=30.0, facts={"days_left": "soon"}),
            CheckHealth(CHECK, "fail", since=20.0),
        ),
    )
    assert (one.state, one.says, one.since, one.cert_days) == ("fail", "no answer", 20.0, 40.0)
    none = ServiceHealth(ServicePlan("s", "s"), ())
    assert (none.state, none.word, none.since) == ("waiting", "Not checked", None)


def test_an_answer_is_news_for_three_intervals() -> None:
    row = {
        "verdict": "ok",
        "detail": "fine",
        "since": NOW - 900,
        "at": NOW - 59,
        "latency": None,
        "facts": "{}",
    }
    assert judge(CHECK, row, NOW).state == "ok"
    old = judge(CHECK, {**row, "at": NOW - 61}, NOW)
    assert (old.state, old.late) == ("unknown", True)
    assert judge(CHECK, None, NOW).state == "waiting"


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", "null"])
def test_odd_facts_are_no_facts(text: str) -> None:
    assert facts_of({"facts": text}) == {}
    assert read_json(text) == {}


def test_what_a_proof_found_is_listed_and_cut_short() -> None:
    detail: dict[str, Any] = {
        "differences": [{"what": f"t{number}", "expected": "1", "found": "2"} for number in range(9)],
        "complaints": ["pg_restore: warning"],
        "unproven": {"postgis": "extension missing"},
    }
    found = faults(json.dumps(detail))
    assert found[0] == "t0: expected 1, found 2"
    assert found[-1] == "and 3 more"
    assert faults(json.dumps({"complaints": ["a"], "unproven": {"b": "c"}})) == ["a", "not proven: b: c"]
    assert faults(json.dumps({"differences": [{"odd": 1}]})) == ['{"odd": 1}']
    assert faults(None) == []


def message(**changes: Any) -> Row:
    """A message that has arrived."""
    told = {
        "channel": "slack",
        "message": '{"kind": "opened"}',
        "event_at": NOW,
        "owed_at": NOW,
        "attempts": 1,
    }
    return {**told, "sent_at": NOW + 1, "refused_at": None, "receipt": None, "error": None, **changes}


def test_a_timeline_of_messages() -> None:
    incident = {
        "key": "job:x",
        "failed_at": NOW,
        "opened_at": NOW,
        "acknowledged_at": None,
        "resolved_at": None,
    }
    events = [
        {"kind": "opened", "at": NOW, "detail": "it failed", "facts": "{}"},
        {"kind": "odd", "at": NOW + 9, "detail": "x", "facts": "{}"},
    ]
    messages = [
        message(),
        message(channel="pager", sent_at=NOW + 100, attempts=3),
        message(channel="mail", sent_at=None, refused_at=NOW + 2, error="550 no such box"),
        message(channel="hook", sent_at=None, error="503"),
    ]
    found = timeline(incident, events, messages, [], {})
    assert [entry.title for entry in found] == [
        "Incident opened",
        "Owed to hook: opened",
        "Told slack: opened",
        "Refused by mail: opened",
        "Odd",
        "Told pager: opened",
    ]
    assert [word for _, word in found[-1].tags] == ["delivered after 1 min 40 s", "late", "3 attempts"]
    assert figures(incident, messages, NOW + 60).told == 1.0
    assert figures(incident, [], NOW + 60).lasted == 60.0


def test_a_young_check_has_a_plot_from_its_answers() -> None:
    class Young:
        """A journal without samples."""

        def all(self, query: str, /, **params: Any) -> list[Row]:
            if query == "views.series":
                return []
            assert query == "views.check_answers"
            said: list[Row] = [{"at": NOW - 100 + at, "latency": at / 100} for at in range(0, 100, 10)]
            return [*said, {"at": NOW, "latency": None}]

    points = latencies(Young(), "s/http", "24h", NOW)  # type: ignore[arg-type]
    assert points
    assert columns(points)["p95"][0] is not None
    assert len(latencies(Young(), "s/http", "1h", NOW)) == 11  # type: ignore[arg-type]
