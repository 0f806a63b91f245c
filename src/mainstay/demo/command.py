"""What `mainstay demo` does: sets the scene, plays the story, shows the figures."""

import asyncio
import json
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mainstay.core.units import format_duration, format_size
from mainstay.demo.company import Company, company
from mainstay.demo.home import fresh_home
from mainstay.demo.measures import Measures
from mainstay.demo.story import Story


def run(home: Path | None, once: bool, as_json: bool, console: Console, out: Console) -> int:
    """Play the demonstration below `home` (a temporary directory when None); give the exit code.

    Progress goes to `console`, results to `out`.
    """
    return asyncio.run(_play(home, once, as_json, console, out))


async def _play(home: Path | None, once: bool, as_json: bool, console: Console, out: Console) -> int:
    began = time.monotonic()

    def tell(line: str) -> None:
        passed = time.monotonic() - began
        console.print(
            f"[dim]{int(passed // 60):02}:{passed % 60:04.1f}[/dim]  {line}", highlight=False, soft_wrap=True
        )

    tell("starting a PostgreSQL, a small API, a stand-in for Slack and PagerDuty, and mainstay itself")
    async with fresh_home(home) as place, company(place) as scene:
        tell(f"{scene.toolset}: {scene.rows:,} rows in {scene.tables} tables of an ERP and its analytics")
        measures = await Story(scene, tell).play()
        measures.seconds = round(time.monotonic() - began, 1)
        document = measures.document()
        if as_json:
            out.print_json(json.dumps(document))
        else:
            show(measures, out)
        if not once:
            await _linger(scene, console)
    return 0 if document["passed"] else 1


def show(measures: Measures, out: Console) -> None:
    """Print the figures and which claims they bear out."""
    out.print()
    out.print(_figures(measures))
    for claim, true in measures.claims():
        out.print(f"  [green]✓[/green] {claim}" if true else f"  [bold red]✗ NOT TRUE:[/bold red] {claim}")
    out.print(f"\n  all of it took {format_duration(measures.seconds)}\n")


def _figures(measures: Measures) -> Table:
    table = Table(
        title="measured just now", title_justify="left", title_style="bold", box=None, padding=(0, 2)
    )
    table.add_column("what")
    table.add_column("figure", justify="right", style="bold")
    for backup in measures.backups:
        size = f"{backup.tables} tables, {backup.rows:,} rows, {format_size(backup.bytes)}"
        table.add_row(f"backup of {backup.database} ({size})", format_duration(backup.backup_seconds))
        table.add_row(
            "  restored into a throwaway server and compared", format_duration(backup.proof_seconds)
        )
    if measures.incident is not None:
        for what, seconds in (
            ("killed API noticed and confirmed", measures.incident.detect_seconds),
            ("  pager called", measures.incident.alert_seconds),
            ("  answering again", measures.incident.heal_seconds),
            ("  recovery told", measures.incident.recovery_told_seconds),
        ):
            table.add_row(what, f"{seconds:.1f}s")
    if measures.corruption is not None:
        table.add_row("flipped bit found by the next proof", f"{measures.corruption.seconds:.1f}s")
    if measures.pitr is not None:
        mistake = measures.pitr
        rows = f"{mistake.deleted_rows:,} / {mistake.lost_rows:,}"
        table.add_row("rows deleted by mistake / lost after the restore", rows)
        table.add_row("  the moment before, in a new server", f"{mistake.restore_seconds:.1f}s")
    if measures.webhooks is not None:
        hooks = measures.webhooks
        sent = f"{hooks.sent} webhooks: accepted / copies / forged"
        table.add_row(sent, f"{hooks.accepted} / {hooks.deduplicated} / {hooks.refused}")
        table.add_row(
            "  delivered / lost / done twice", f"{hooks.delivered} / {hooks.lost} / {hooks.doubled}"
        )
    if measures.gateway is not None:
        gate = measures.gateway
        figures = f"{gate.admitted} / {gate.limited} / {gate.unauthorised}"
        table.add_row("API requests admitted / limited / unauthorised", figures)
    for certificate in measures.certificates:
        table.add_row(f"certificate of {certificate.name} renewed and served", f"{certificate.seconds:.1f}s")
    if measures.alerts is not None:
        alerts = measures.alerts
        table.add_row(
            "messages owed / delivered / twice", f"{alerts.owed} / {alerts.delivered} / {alerts.duplicates}"
        )
    return table


async def _linger(scene: Company, console: Console) -> None:
    password = next(
        (line.strip() for line in (scene.home / "up.log").read_text().splitlines() if "password" in line), ""
    )
    console.print(f"\nThe dashboard goes on at [bold]{scene.url}[/bold]  {password}")
    console.print(f"Everything lies in {scene.home}. Ctrl-C ends it.")
    await scene.up.wait()
