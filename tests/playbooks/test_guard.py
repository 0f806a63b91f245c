"""The guards: each on its own, and that none can be talked round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mainstay.playbooks.guard import MOST_PER_HOUR, Go, Situation, decide
from mainstay.playbooks.settings import HealSettings, RestartSettings

NOW = 1_000_000.0
FINE = Situation(NOW, "api", RestartSettings())


def test_with_nothing_against_it_it_acts() -> None:
    decision = decide(FINE)
    assert (decision.go, decision.reason) == (Go.ACT, "restart 1 of at most 3")


@pytest.mark.parametrize(
    ("against", "go", "words"),
    [
        ({"open": False}, Go.REFUSE, "the incident is over"),
        ({"answers": True}, Go.REFUSE, "api answers again"),
        ({"switched_off": "release day (ana)"}, Go.REFUSE, "switched off: release day"),
        ({"settings": RestartSettings(enabled=False)}, Go.REFUSE, "would have restarted api"),
        ({"held": "stopped on purpose"}, Go.REFUSE, "somebody stopped api"),
        ({"missing": "there is no container api"}, Go.CALL, "there is no container api"),
        ({"silenced_until": NOW + 60}, Go.WAIT, "somebody works on it"),
        ({"unsure": "no route"}, Go.WAIT, "nobody can say whether api still fails (no route)"),
        ({"failing": ["postgres"]}, Go.WAIT, "needs postgres, which fails too"),
        ({"actions": [NOW - 500, NOW - 300, NOW - 100]}, Go.CALL, "restarted 3 times within 10m"),
        ({"all_actions": [NOW - 60 * n for n in range(MOST_PER_HOUR)]}, Go.CALL, "something larger is wrong"),
        ({"actions": [NOW - 10]}, Go.WAIT, "the last restart was 10s ago"),
    ],
)
def test_each_guard_on_its_own(against: dict[str, Any], go: Go, words: str) -> None:
    decision = decide(replace(FINE, **against))
    assert decision.go is go
    assert words in decision.reason
    assert (decision.again_at is not None) == (go is Go.WAIT)


def test_a_budget_is_used_up_only_within_its_window() -> None:
    old = [NOW - 601, NOW - 3000, NOW - 3100, NOW - 3200]
    assert decide(replace(FINE, actions=old)).go is Go.ACT
    assert decide(replace(FINE, all_actions=[NOW - 3601 - n for n in range(50)])).go is Go.ACT


def test_the_cooldown_doubles() -> None:
    assert decide(replace(FINE, actions=[NOW - 31])).go is Go.ACT
    twice = decide(replace(FINE, actions=[NOW - 100, NOW - 31]))
    assert (twice.go, twice.again_at) == (Go.WAIT, NOW - 31 + 60)


def test_waiting_for_a_dependency_is_patient() -> None:
    waits = [decide(replace(FINE, failing=["db"], waits=n)).again_at or 0 for n in range(10)]
    assert [at - NOW for at in waits][:4] == [15, 30, 60, 120]
    assert max(waits) - NOW == 600


def test_a_long_silence_is_looked_at_every_quarter_of_an_hour() -> None:
    assert decide(replace(FINE, silenced_until=NOW + 86400)).again_at == NOW + 900


@given(
    actions=st.lists(st.floats(NOW - 7200, NOW), max_size=12),
    others=st.lists(st.floats(NOW - 7200, NOW), max_size=20),
    flags=st.fixed_dictionaries(
        {
            "open": st.booleans(),
            "answers": st.booleans(),
            "switched_off": st.sampled_from([None, "x"]),
            "held": st.sampled_from([None, "x"]),
            "silenced_until": st.sampled_from([None, NOW + 5]),
            "failing": st.sampled_from([(), ("db",)]),
        }
    ),
    attempts=st.integers(1, 5),
)
def test_it_never_acts_against_a_guard(
    actions: list[float], others: list[float], flags: dict[str, Any], attempts: int
) -> None:
    settings = RestartSettings(attempts=attempts)
    all_actions = actions + others
    situation = replace(FINE, settings=settings, actions=actions, all_actions=all_actions, **flags)
    decision = decide(situation)
    if decision.go is Go.ACT:
        assert flags == {
            "open": True,
            "answers": False,
            "switched_off": None,
            "held": None,
            "silenced_until": None,
            "failing": (),
        }
        assert sum(1 for at in actions if at > NOW - settings.window) < attempts
        assert sum(1 for at in all_actions if at > NOW - 3600) < MOST_PER_HOUR
    if decision.go is Go.WAIT:
        assert decision.again_at is not None
        assert decision.again_at > NOW


@pytest.mark.parametrize("given", ["restart", {"restart": None}, {"restart": {}}])
def test_the_short_ways_to_write_it(given: Any) -> None:
    settings = HealSettings.model_validate(given)
    assert settings.attempts == 3
    assert settings.explain() == "restart, at most 3 times in 10m, then call people"


def test_options_are_read_and_mistakes_refused() -> None:
    settings = HealSettings.model_validate({"restart": {"attempts": 5, "cooldown": "10s", "enabled": False}})
    assert (settings.restart.attempts, settings.restart.cooldown) == (5, 10.0)
    assert settings.explain() == "restart, switched off"
    for wrong in ("reboot", {"restart": {"attempts": 0}}, {"restart": {"tries": 1}}, {}):
        with pytest.raises(ValidationError):
            HealSettings.model_validate(wrong)


def test_editors_know_both_ways() -> None:
    schema = HealSettings.model_json_schema()
    assert {"const": "restart", "description": "restart it, with sane guards"} in schema["anyOf"]
