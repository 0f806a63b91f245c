"""The page about `/metrics`, from the list that the dashboard itself uses."""

from __future__ import annotations

from mainstay.web.metrics import METRICS
from tools.reference.spelling import cell

INTRODUCTION = """\
`GET /metrics` on the dashboard, in Prometheus' text format: one consistent look at the journal. All are gauges. Without
`web.token` only this machine itself may read them; with it, `Authorization: Bearer TOKEN` or a login.
"""
HEAD = "| metric | labels | meaning |\n|---|---|---|"


def page() -> str:
    """Every metric with its labels."""
    rows = [f"| `{one.name}` | {labels(one.labels)} | {cell(one.help)} |" for one in METRICS]
    return "\n\n".join(["# Metrics", INTRODUCTION.rstrip(), "\n".join([HEAD, *rows])]) + "\n"


def labels(names: tuple[str, ...]) -> str:
    """The labels of a metric."""
    return ", ".join(f"`{name}`" for name in names)
