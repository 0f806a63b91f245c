"""The part of `mainstay status` about the logs that are kept. What it needs is imported only where there is one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mainstay.cli.output import Output, Text
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, span
from mainstay.core.amounts import format_size
from mainstay.readiness.setup import Setup
from mainstay.store.base import Tx

if TYPE_CHECKING:
    from mainstay.backup.physical.picture import LogView

MARKS = {"ok": ("●", "green"), "warn": ("▲", "yellow"), "fail": ("✖", "red"), "unknown": ("○", "dim")}


def logs(tx: Tx, setup: Setup, now: float) -> "dict[str, LogView]":
    """Read how the logs are; nothing where none is kept."""
    kept = {one.name: one.log_storage for one in setup.databases if one.log_storage}
    if not kept:
        return {}
    from mainstay.backup.physical.picture import pictures

    return pictures(tx, kept, now)


def logs_of(found: "Mapping[str, LogView]") -> list[dict[str, Any]]:
    """Give it for programs."""
    return [log.plain() for log in found.values()]


def print_logs(out: Output, found: "Mapping[str, LogView]", now: float) -> None:
    """Print two lines for each: how it is, and from where on moments can be restored."""
    if not found:
        return
    out.print("")
    out.print(("Logs", "bold"))
    rows: list[list[str | Text]] = []
    notes: list[Text] = []
    for log in found.values():
        symbol, style = MARKS[log.state]
        rows.append(
            [(symbol, style), log.database, _mode(log), (log.says, "" if log.state != "ok" else "dim")]
        )
        notes.append((_note(log, now), "dim"))
    show(out, [Column(""), Column(""), Column(""), Column("", wrap=True)], rows, notes=notes)


def _mode(log: "LogView") -> str:
    if log.seen is None:
        return ""
    return "commits wait for it" if log.seen["waits"] else str(log.seen["mode"])


def _note(log: "LogView", now: float) -> str:
    parts = [*_lags(log, now), _base(log, now), _proof(log, now)]
    return "; ".join(parts)


def _lags(log: "LogView", now: float) -> list[str]:
    if log.seen is None or log.at is None:
        return []
    seen = log.seen
    if seen["mode"] == "archived":
        return (
            [f"last segment {ago(seen['segment_at'], now)} (seen {ago(log.at, now)})"]
            if seen["segment_at"]
            else []
        )
    lag = f"storage {seen['storage_lag_seconds']:.0f}s, {format_size(seen['storage_lag_bytes'] or 0)} behind"
    segment = f"last segment {ago(seen['segment_at'], now)}" if seen["segment"] else "no whole segment yet"
    return [f"{lag} (seen {ago(log.at, now)})", segment]


def _base(log: "LogView", now: float) -> str:
    if log.base is None:
        return "no base backup"
    return f"base backup {ago(log.base['at'], now)}"


def _proof(log: "LogView", now: float) -> str:
    if log.proof is None:
        return "never proven"
    done = "proven" if log.proof["proven"] else "looked at, not proven,"
    return f"{done} {ago(log.proof['at'], now)}, restored in {span(log.proof['restore_seconds'] or 0.0)}"
