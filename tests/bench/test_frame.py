"""The frame of the benches: goals are read strictly, rows are complete, a miss is shown and told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import __main__ as frame
from bench.rows import Goal, Row, document, load_goals

FULL = Row("b", "t", 3.0, "ms", "other", 6.0)


def test_every_goal_belongs_to_a_bench_and_has_a_reason() -> None:
    goals = load_goals()
    assert {bench for bench, _ in goals} <= set(frame.names())
    assert all(goal.reason for goal in goals.values())


@pytest.mark.parametrize(
    "entry",
    [
        "{at_most = 1}",
        '{reason = "x"}',
        '{at_most = 1, at_least = 2, reason = "x"}',
        '{about = 1, reason = "x"}',
    ],
)
def test_a_goal_without_reason_or_with_two_limits_is_refused(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "goals.toml"
    file.write_text(f"[b]\nt = {entry}\n")
    with pytest.raises(ValueError, match=r"b\.t needs"):
        load_goals(file)


def test_a_row_has_every_column() -> None:
    goal = Goal(2, at_most=True, reason="r")
    assert document(FULL, goal) == {
        "bench": "b", "trial": "t", "ours": 3.0, "unit": "ms", "peer": "other", "peer_value": 6.0,
        "ratio": 0.5, "goal": 2, "met": False,
    }  # fmt: skip
    alone = document(Row("b", "t", 3.0, "ms", "absent"), Goal(2, at_most=False, reason="r"))
    assert (alone["peer_value"], alone["ratio"], alone["goal"], alone["met"]) == (None, None, 2, True)


@pytest.mark.parametrize(("limit", "met"), [("ratio_at_most = 0.4", False), ("ratio_at_least = 0.5", True)])
def test_a_goal_may_be_a_ratio_and_is_neither_met_nor_missed_without_a_peer(
    tmp_path: Path, limit: str, met: bool
) -> None:
    file = tmp_path / "goals.toml"
    file.write_text(f'[b]\nt = {{{limit}, reason = "x"}}\n')
    goal = load_goals(file)["b", "t"]
    assert document(FULL, goal)["met"] is met
    assert document(Row("b", "t", 3.0, "ms", "absent"), goal)["met"] is None
    assert str(goal).endswith(f"{goal.limit:g} times the peer's")


def test_a_miss_is_printed_and_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(name: str) -> Iterator[Row]:
        yield Row("start", "version", 1e6, "ms")

    monkeypatch.setattr(frame, "rows", rows)
    assert frame.main(["start", "--json"]) == 1
    [row] = json.loads(capsys.readouterr().out)
    assert row["met"] is False
    assert frame.main(["start"]) == 1
    assert capsys.readouterr().out.splitlines()[1].endswith("NO")


def test_an_unknown_bench_is_a_usage_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["nothing"]) == 2
    assert "start" in capsys.readouterr().err
