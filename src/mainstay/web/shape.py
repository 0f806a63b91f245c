"""How databases are, from what the newest run of `optimize_database` said: what is ill, what was done, how it went."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstay.store.base import Row
from mainstay.web.series import nice
from mainstay.web.words import count, size

AILMENTS = "ailments"
"""In the outcome of a run that looks after databases: what it found, one by one."""
PARTS = frozenset({AILMENTS, "databases", "mended", "left", "changes", "history"})
"""What of its outcome the page shows in its own way."""
FIGURES = {
    "bytes": ("Size", size),
    "empty_bytes": ("Empty", size),
    "dead_rows": ("Dead rows", count),
    "xid_age": ("Age in transactions", count),
    "cache_hit_percent": ("Pages found in memory", lambda percent: f"{percent:g} %"),
    "unused_indexes": ("Unused indexes", count),
}
"""A figure's name for people, and how it is written."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A database's size and what of it is empty, as SVG paths in a box of 1000 by 200; `top` is in bytes."""

    size: str
    empty: str
    top: float
    start: float


def shape(runs: Sequence[Row]) -> dict[str, Any] | None:
    """Show the newest run that was done; None for runs that do not look after databases."""
    done = next((run for run in runs if run["state"] == "done"), None)
    outcome = json.loads(done["outcome"] or "{}") if done else {}
    if done is None or not isinstance(outcome, dict) or not isinstance(outcome.get(AILMENTS), list):
        return None
    history, changes = outcome.get("history", []), outcome.get("changes", {})
    return {
        "at": done["finished_at"],
        "found": outcome[AILMENTS],
        "mended": outcome.get("mended", []),
        "left": outcome.get("left", []),
        "since": changes.get("since"),
        "new": changes.get("new", []),
        "gone": changes.get("gone", []),
        "databases": [
            {
                "name": name,
                "figures": _figures(now, changes.get("figures", {}).get(name, {})),
                "known_by": now.get("empty_known_by", ""),
                "curve": curve(name, history),
            }
            for name, now in outcome.get("databases", {}).items()
        ],
    }


def _figures(now: Mapping[str, Any], changed: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each figure in words, with what it was last week when it was another."""
    return [
        {
            "name": title,
            "now": write(now[key]),
            "before": write(changed[key]["before"]) if key in changed else "",
        }
        for key, (title, write) in FIGURES.items()
        if now.get(key) is not None
    ]


def curve(name: str, history: Sequence[Mapping[str, Any]]) -> Curve | None:
    """Draw a database's looks; None while there is only one."""
    looks = [(each["at"], each["databases"][name]) for each in history if name in each["databases"]]
    if len(looks) < 2 or looks[-1][0] <= looks[0][0]:
        return None
    top = nice(max((look.get("bytes", 0) for _, look in looks), default=0) or 1)
    start, end = looks[0][0], looks[-1][0]

    def path(key: str) -> str:
        points = [
            f"{(at - start) / (end - start) * 1000:.0f} {200 - look.get(key, 0) / top * 200:.0f}"
            for at, look in looks
        ]
        return "M" + "L".join(points)

    return Curve(path("bytes"), path("empty_bytes"), top, start)
