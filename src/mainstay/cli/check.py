"""Say how much of the priority matrix is automated, with the evidence for each row and what would take it further.

Each row is missing, configured, running or proven; proven needs dated evidence: a backup that was restored and
compared, an alert that a provider accepted. Exit code 1 when a P0 row is missing, 3 when the journal cannot be read.
"""

import argparse
from dataclasses import asdict

from mainstay.cli.context import Context
from mainstay.cli.marks import STANDINGS
from mainstay.cli.output import Output, Text
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago
from mainstay.core.finding import Finding, Priority, Standing
from mainstay.readiness.assess import assess, ready, score
from mainstay.readiness.evidence import gather

HEADS = {
    Priority.P0: "data loss, breach or downtime without it",
    Priority.P1: "painful by hand",
    Priority.P2: "quality of life",
    Priority.P3: "later",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--all", action="store_true", help="P2 and P3 rows too")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Print the scorecard."""
    now = ctx.clock.now()
    evidence = ctx.look(lambda tx: gather(tx, now))
    setup = ctx.outline().setup
    findings = assess(setup, evidence, now)
    if ctx.out.json:
        ctx.out.data(
            {
                "name": setup.name,
                "at": now,
                "ready": ready(findings),
                "score": score(findings),
                "findings": [asdict(finding) for finding in findings],
            }
        )
    else:
        shown = [
            finding for finding in findings if args.all or finding.priority in (Priority.P0, Priority.P1)
        ]
        _print(ctx.out, setup.title, findings, shown, now)
    return 0 if ready(findings) else 1


def _print(out: Output, title: str, findings: list[Finding], shown: list[Finding], now: float) -> None:
    holes = sum(f.priority is Priority.P0 and f.standing is Standing.MISSING for f in findings)
    proven = sum(finding.standing is Standing.PROVEN for finding in findings)
    verdict: Text = (f"{holes} P0 missing", "alarm") if holes else ("ready", "green")
    out.print(
        (title, "bold"),
        "  ",
        verdict,
        f"  {score(findings)}% of P0 and P1 automated, {proven} proven  ",
        _bar(findings),
    )
    for priority in dict.fromkeys(finding.priority for finding in shown):
        out.print("")
        out.print((priority.value, "bold"), ("  " + HEADS[priority], "dim"))
        rows = [_row(finding, now) for finding in shown if finding.priority is priority]
        columns = [Column(""), Column(""), Column(""), Column("", wrap=True), Column("")]
        show(out, columns, rows)
    _fixes(out, shown)


def _bar(findings: list[Finding]) -> Text:
    counted = [finding for finding in findings if finding.priority in (Priority.P0, Priority.P1)]
    full = round(20 * score(findings) / 100)
    return "█" * full + "░" * (20 - full) if counted else "", "cyan"


def _row(finding: Finding, now: float) -> list[str | Text]:
    symbol, word, style = STANDINGS[finding.standing]
    return [
        (symbol, style),
        (word, style),
        finding.title,
        (finding.evidence, "" if finding.standing is Standing.MISSING else "dim"),
        (ago(finding.at, now), "dim"),
    ]


def _fixes(out: Output, findings: list[Finding]) -> None:
    todo = [finding for finding in findings if finding.fix and finding.standing is not Standing.RUNNING]
    if not todo:
        return
    out.print("")
    out.print(("What to do", "bold"))
    rows: list[list[str | Text]] = [
        [(finding.priority.value, "dim"), (finding.rule, "cyan"), str(finding.fix)] for finding in todo
    ]
    show(out, [Column(""), Column(""), Column("", wrap=True)], rows)
    if any("readiness.covered" in str(finding.fix) for finding in todo):
        out.print("")
        out.print(
            ("  noted like this: ", "dim"), "readiness: {covered: {logs: Loki on web2, Jo looks after it}}"
        )
