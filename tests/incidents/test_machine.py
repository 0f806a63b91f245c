"""The state machine: what opens an incident, what ends it, and what never does either."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.incidents.machine import NOTHING, Rules, Step, advance

OK, WARN, FAIL, UNKNOWN = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN
CRITICAL = Rules(critical=True, title="Order API")


def result(verdict: Verdict, at: float, *, confirmed: bool = True, detail: str | None = None) -> Result:
    return Result("api/http", "api", verdict, detail or f"answered {verdict}", at, confirmed=confirmed)


class Life:
    """One check's life: feed results, look at what happened."""

    def __init__(self, rules: Rules = CRITICAL) -> None:
        self.rules = rules
        self.incident: Incident | None = None
        self.suspicion = NOTHING
        self.events: list[Event] = []
        self.now = 1000.0

    def see(self, verdict: Verdict, *, after: float = 5.0, confirmed: bool = True, detail: str = "") -> Step:
        self.now += after
        seen = result(verdict, self.now, confirmed=confirmed, detail=detail or None)
        step = advance(self.incident, seen, self.rules, self.now, self.suspicion)
        self.incident, self.suspicion = step.incident, step.suspicion
        self.events += step.events
        return step

    def kinds(self) -> list[str]:
        return [event.kind.value for event in self.events]

    @property
    def open(self) -> bool:
        return self.incident is not None and self.incident.state is not IncidentState.RESOLVED


def test_a_confirmed_fail_opens_and_says_when_the_first_probe_failed() -> None:
    life = Life()
    life.see(FAIL, confirmed=False)
    assert not life.open
    life.see(FAIL, after=0.8)
    assert life.kinds() == ["failed", "opened"]
    assert life.incident is not None
    assert (life.incident.failed_at, life.incident.opened_at) == (1005.0, 1005.8)
    assert life.incident.severity is Severity.CRITICAL
    assert life.incident.title == "Order API fails its http check"


def test_an_unconfirmed_fail_never_opens() -> None:
    life = Life()
    for _ in range(50):
        life.see(FAIL, confirmed=False)
        life.see(OK)
    assert life.events == []


def test_two_good_answers_in_a_row_end_it_and_tell_how_long_it_lasted() -> None:
    life = Life()
    life.see(FAIL)
    life.see(OK)
    life.see(FAIL)
    life.see(OK)
    assert life.open
    life.see(OK)
    assert life.kinds() == ["failed", "opened", "resolved"]
    assert life.events[-1].facts == {"seconds": 20.0}
    assert life.events[-1].detail == "answered ok; it lasted 20s"


def test_a_service_that_is_not_critical_only_warns() -> None:
    life = Life(Rules(critical=False))
    life.see(FAIL)
    assert life.incident is not None
    assert life.incident.severity is Severity.WARNING
    assert life.incident.title == "api fails its http check"


def test_a_warning_opens_only_when_it_lasts() -> None:
    life = Life(replace(CRITICAL, warn_after=300.0))
    for _ in range(5):
        life.see(WARN, after=60)
    assert not life.open
    life.see(WARN, after=60)
    assert life.incident is not None
    assert life.incident.severity is Severity.WARNING
    assert life.incident.failed_at == 1060.0
    assert life.incident.title == "Order API warns in its http check"


def test_a_good_answer_ends_a_warning_that_has_not_opened() -> None:
    life = Life(replace(CRITICAL, warn_after=300.0))
    for verdict in (WARN, WARN, OK, WARN, WARN):
        life.see(verdict, after=200)
    assert not life.open


def test_warnings_never_open_where_the_rules_say_so_and_count_as_recovered() -> None:
    life = Life(replace(CRITICAL, warn_after=None))
    for _ in range(100):
        life.see(WARN, after=3600)
    assert life.events == []
    life.see(FAIL)
    life.see(WARN)
    life.see(WARN)
    assert not life.open


@pytest.mark.parametrize(("critical", "severity"), [(True, Severity.CRITICAL), (False, Severity.WARNING)])
def test_a_warning_that_becomes_a_fail_escalates(critical: bool, severity: Severity) -> None:
    life = Life(Rules(critical=critical, warn_after=0.0))
    life.see(WARN)
    life.see(FAIL, confirmed=False)
    assert life.kinds() == ["failed", "opened"]
    life.see(FAIL)
    life.see(FAIL)
    assert life.kinds() == ["failed", "opened", "escalated"]
    assert life.incident is not None
    assert (life.incident.severity, life.incident.title) == (severity, "api fails its http check")


def test_a_fail_that_becomes_a_warning_stays_open_and_as_loud() -> None:
    life = Life()
    life.see(FAIL)
    for _ in range(100):
        life.see(WARN)
    assert life.incident is not None
    assert life.open
    assert life.incident.severity is Severity.CRITICAL


def test_a_new_reason_is_noted_once_a_minute_at_most_and_other_figures_are_no_new_reason() -> None:
    life = Life()
    life.see(FAIL, detail="503 in 12 ms")
    for number in range(100):
        life.see(FAIL, after=1, detail=f"503 in {number} ms")
    assert life.kinds() == ["failed", "opened"]
    for number in range(60):
        life.see(FAIL, after=1, detail="refused" if number % 2 else "timed out")
    assert life.kinds().count("changed") <= 2
    assert life.incident is not None
    assert life.incident.detail in ("refused", "timed out")


def test_each_return_within_an_hour_asks_for_three_times_as_many_good_answers() -> None:
    life = Life()
    needed = []
    for _ in range(5):
        life.see(FAIL, after=1)
        oks = 0
        while life.open:
            life.see(OK, after=1)
            oks += 1
        needed.append(oks)
    assert needed == [2, 6, 18, 18, 18]
    assert "it came back, 5 times" in [e for e in life.events if e.kind is EventKind.OPENED][-1].detail
    life.see(FAIL, after=3601)
    life.see(OK)
    life.see(OK)
    assert not life.open


def test_a_check_that_asks_seldom_is_not_kept_waiting() -> None:
    life = Life()
    for _ in range(3):
        life.see(FAIL, after=300)
        while life.open:
            life.see(OK, after=300)
    assert len(life.kinds()) == 9
    assert life.now - [event.at for event in life.events if event.kind is EventKind.OPENED][-1] <= 1200


def test_flapping_at_60_percent_for_an_hour_is_a_handful_of_messages() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        life = Life()
        for _ in range(360):
            failed, again = chance.random() < 0.6, chance.random() < 0.6
            if failed and not life.open:
                life.see(FAIL, after=9, confirmed=False)
                life.see(FAIL if again else OK, after=1)
            else:
                life.see(FAIL if failed else OK, after=10)
        told = [kind for kind in life.kinds() if kind in ("opened", "escalated", "resolved")]
        assert len(told) <= 5, f"seed {seed}: {told}"


verdicts = st.lists(
    st.tuples(st.sampled_from(Verdict), st.booleans(), st.integers(1, 400)), min_size=1, max_size=60
)


@given(verdicts, st.booleans(), st.sampled_from([None, 0.0, 300.0]))
def test_whatever_happens_it_opens_and_ends_in_turns(
    seen: list[tuple[Verdict, bool, int]], critical: bool, warn_after: float | None
) -> None:
    life = Life(Rules(critical=critical, warn_after=warn_after))
    for verdict, confirmed, after in seen:
        before = life.incident
        was_open = life.open
        step = life.see(verdict, after=after, confirmed=confirmed)
        kinds = [event.kind for event in step.events]
        assert (EventKind.OPENED in kinds) == (not was_open and life.open)
        assert (EventKind.RESOLVED in kinds) == (was_open and not life.open)
        assert all(event.incident == step.incident.id for event in step.events if step.incident)
        if verdict is UNKNOWN:
            assert step.incident is before
        if verdict is FAIL and not confirmed:
            assert not step.events or kinds == [EventKind.CHANGED]
    turns = [kind for kind in life.kinds() if kind in ("opened", "resolved")]
    assert turns == ["opened", "resolved"] * (len(turns) // 2) + ["opened"] * (len(turns) % 2)


@given(verdicts)
def test_enough_quiet_always_ends_it_and_that_is_told(seen: list[tuple[Verdict, bool, int]]) -> None:
    life = Life()
    for verdict, confirmed, after in seen:
        life.see(verdict, after=after, confirmed=confirmed)
    for _ in range(life.rules.most_oks):
        life.see(OK)
    assert not life.open
    assert life.kinds().count("opened") == life.kinds().count("resolved")


@given(verdicts, st.data())
def test_unknown_changes_nothing_wherever_it_comes(
    seen: list[tuple[Verdict, bool, int]], data: st.DataObject
) -> None:
    known = [entry for entry in seen if entry[0] is not UNKNOWN]
    plain, disturbed = Life(), Life()
    for verdict, confirmed, after in known:
        plain.see(verdict, after=after, confirmed=confirmed)
        early = data.draw(st.integers(0, after))
        disturbed.see(UNKNOWN, after=early)
        disturbed.see(verdict, after=after - early, confirmed=confirmed)
    assert plain.kinds() == disturbed.kinds()
