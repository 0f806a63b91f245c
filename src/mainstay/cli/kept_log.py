"""Proofs of kept logs, as lines of the table of all proofs."""

from typing import TYPE_CHECKING, Any

from mainstay.cli.words import span

if TYPE_CHECKING:
    from mainstay.cli.context import Context
    from mainstay.cli.table import Cell
    from mainstay.core.run import Run

JOB = "prove_log:"


def kept(ctx: "Context") -> dict[str, str]:
    """Give the databases whose log is kept, with the storage that it goes to."""
    return {each.name: each.log_storage for each in ctx.outline().setup.databases if each.log_storage}


def proof_row(run: "Run", storage: str) -> "list[Cell]":
    """Give the line of a proof: the moment that was restored, the marker rows, how long it took."""
    found, name = run.outcome, run.job.removeprefix(JOB)
    if run.state != "done":
        return [(name, "bold"), f"log in {storage}", "", ("✖ failed", "red"), "", "", "", run.error or ""]
    verdict = ("● proven", "green") if found["proven"] else ("▲ partial", "yellow")
    took = span(found["restore_seconds"])
    return [
        (name, "bold"),
        f"log in {storage}",
        found["target"],
        verdict,
        "",
        f"{found['markers']:,}",
        took,
        _why(run),
    ]


def document(run: "Run", storage: str) -> dict[str, Any]:
    """Give the same for programs."""
    verdict = "failed" if run.state != "done" else "proven" if run.outcome["proven"] else "partial"
    return {
        "database": run.job.removeprefix(JOB),
        "storage": storage,
        "log": True,
        "moment": run.outcome.get("target"),
        "verdict": verdict,
        "rows": run.outcome.get("markers"),
        "restore_seconds": run.outcome.get("restore_seconds"),
        "why": _why(run),
    }


def _why(run: "Run") -> str:
    if run.state != "done":
        return run.error or ""
    reasons = [f"{what}: {why}" for what, why in run.outcome["unproven"].items()]
    return f"unproven because {'; '.join(reasons)}" if reasons else ""
