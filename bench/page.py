"""Writes docs/benchmarks.md from a full run."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from bench.rows import GOALS, load_goals

PAGE = GOALS.parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `./dev bench all` from its last full run, every row of it, met or missed. Ours and its peers ran on the same
machine in the same run, taking turns: {machine}.
"""


def machine() -> str:
    """The machine by what matters, and by nothing that names it."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {round(pages * size / 10**9)} GB of memory, Python {platform.python_version()}"


def write_page(documents: Sequence[Mapping[str, object]], path: Path = PAGE) -> None:
    """Write all rows, one section for each bench."""
    parts = [HEAD.format(machine=machine())]
    for bench, rows in groupby(documents, key=lambda row: str(row["bench"])):
        parts.append(section(bench, list(rows)))
    path.write_text("\n".join(parts))


def section(bench: str, rows: Sequence[Mapping[str, object]]) -> str:
    """One bench: what it measures, its table, the reasons of its goals."""
    about = (importlib.import_module(f"bench.{bench}").__doc__ or "").strip()
    lines = [
        f"## {bench}",
        "",
        about,
        "",
        "| trial | ours | unit | peer | peer's | ours / peer's | goal | met |",
    ]
    lines.append("|---|---:|---|---|---:|---:|---:|---|")
    lines += [line(row) for row in rows]
    reasons = [
        f"- {trial}: {goal}, because {goal.reason}"
        for (name, trial), goal in load_goals().items()
        if name == bench
    ]
    return "\n".join([*lines, "", *reasons, ""]) if reasons else "\n".join([*lines, ""])


def line(row: Mapping[str, object]) -> str:
    cells = [row[key] for key in ("trial", "ours", "unit", "peer", "peer_value", "ratio", "goal", "met")]
    return "| " + " | ".join(cell(each) for each in cells) + " |"


def cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "**no**"
        case float():
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
