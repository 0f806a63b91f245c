"""The page that a full run of the benches writes, and the goals that it shows."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from bench.__main__ import names
from bench.page import machine, write_page
from bench.rows import Goal, Row, document, load_goals


def written(path: Path, *rows: Row, goal: Goal | None = None) -> str:
    documents: list[dict[str, Any]] = [document(row, goal) for row in rows]
    write_page(documents, path / "benchmarks.md")
    return (path / "benchmarks.md").read_text()


def test_every_row_is_shown_met_or_missed(tmp_path: Path) -> None:
    goal = Goal(10, at_most=True, reason="because")
    page = written(
        tmp_path,
        Row("checks", "cpu", 12.345, "%", "peer", 24.69),
        Row("checks", "memory", 1.0, "MB", "peer"),
        goal=goal,
    )
    assert "| cpu | 12.3 | % | peer | 24.7 | 0.5 | 10 | **no** |" in page
    assert "| memory | 1 | MB | peer |  |  | 10 | yes |" in page
    assert "## checks" in page


def test_the_machine_is_named_by_cores_and_memory_only() -> None:
    import platform

    assert " cores, " in machine()
    assert platform.node() not in machine()


def test_every_goal_belongs_to_a_bench_and_every_bench_says_what_it_measures() -> None:
    assert {bench for bench, _ in load_goals()} <= set(names())
    for name in names():
        module = importlib.import_module(f"bench.{name}")
        assert module.__doc__
        assert callable(module.run)
