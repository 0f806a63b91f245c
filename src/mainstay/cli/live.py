"""Shows how far a run is: bars and dim log lines on a terminal, nothing otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mainstay.cli.output import Output
from mainstay.core.amounts import format_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from mainstay.engine.progress import Progress


class Narrator(Protocol):
    """Who is told how far something is."""

    def log(self, line: str) -> None: ...
    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None: ...


class Silent:
    """Tells nobody; keeps the lines for a result in JSON."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        """Nobody looks."""


class Drawn:
    """Draws on a terminal."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._known: dict[str, TaskID] = {}

    def log(self, line: str) -> None:
        from rich.text import Text

        self._bars.console.print(Text(f"  {line}", "dim"), highlight=False, soft_wrap=True)

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        words = amount(done, total, unit)
        if label not in self._known:
            self.finish()
            self._known[label] = self._bars.add_task(label, total=total, amount=words)
        self._bars.update(self._known[label], completed=done, total=total, amount=words)

    def finish(self) -> None:
        """Fill the bars: a total may have been an estimate, and what comes next began because this is done."""
        for task in self._bars.tasks:
            self._bars.update(task.id, total=task.completed)


def on_progress(narrator: Narrator, progress: "Progress") -> None:
    """Hand over what a run says."""
    narrator.progress(progress.label, progress.done, progress.total, progress.unit)


@contextmanager
def narrator(out: Output, title: str) -> Iterator[Narrator]:
    """Give somebody to tell; on a terminal a title stands above the bars."""
    if not out.live or out.json:
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=not out.err_color)
    console.print(f"[bold]{title}[/bold]", highlight=False)
    columns = (
        TextColumn(" "),
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=30, complete_style="cyan", finished_style="green"),
        TextColumn("{task.fields[amount]:>22}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        drawn = Drawn(bars)
        yield drawn
        drawn.finish()


def amount(done: float, total: float | None, unit: str) -> str:
    """Say how much is done: `12 of 48 tables`, `31 of 389 MB`."""
    if unit in ("bytes", "B"):
        return f"{format_size(done)} of {format_size(total)}" if total else format_size(done)
    return f"{done:,.0f} of {total:,.0f} {unit}".rstrip() if total else f"{done:,.0f} {unit}".rstrip()
