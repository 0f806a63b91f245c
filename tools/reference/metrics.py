"""The page about `/metrics`, from the list that the dashboard itself uses."""

from __future__ import annotations

from mainstay.edge.families import FAMILIES
from mainstay.web.metrics import METRICS
from tools.reference.spelling import cell

INTRODUCTION = """\
`GET /metrics` on the dashboard, in Prometheus' text format: one consistent look at the journal, all gauges, and what
the edge has counted. Without
`web.token` only this machine itself may read them; with it, `Authorization: Bearer TOKEN` or a login.
"""
TOTAL = {"counter": "_total", "gauge": "", "histogram": ""}
EDGE = """\
What all processes of the edge have counted together, where there is one. Counters go on where they were when a process
is started anew.
"""
EDGE_HEAD = "| metric | kind | labels | meaning |\n|---|---|---|---|"
HEAD = "| metric | labels | meaning |\n|---|---|---|"


def page() -> str:
    """Every metric with its labels."""
    rows = [f"| `{one.name}` | {labels(one.labels)} | {cell(one.help)} |" for one in METRICS]
    edge = [
        f"| `{one.name}{TOTAL[one.kind]}` | {one.kind} | {labels(one.labels)} | {cell(one.help)} |"
        for one in FAMILIES
    ]
    parts = ["# Metrics", INTRODUCTION.rstrip(), "\n".join([HEAD, *rows])]
    return "\n\n".join([*parts, "## The edge", EDGE.rstrip(), "\n".join([EDGE_HEAD, *edge])]) + "\n"


def labels(names: tuple[str, ...]) -> str:
    """The labels of a metric."""
    return ", ".join(f"`{name}`" for name in names)
