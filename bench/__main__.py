"""`python -m bench NAME [--json] [--quick]` runs one bench. Exit code 1 when a goal was missed.

`all` runs every one and, unless it was quick, writes docs/benchmarks.md.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence

from bench.page import write_page
from bench.rows import Goal, Row, document, load_goals, quick

FRAME = {"arena", "safe", "rows", "peers", "page", "__main__"}
SWITCHES = {"--json", "--quick"}
COLUMNS = ("bench", "trial", "ours", "unit", "peer", "peer_value", "ratio", "goal", "met")


def names() -> list[str]:
    """The benches that there are."""
    import bench

    return sorted(each.name for each in pkgutil.iter_modules(bench.__path__) if each.name not in FRAME)


def rows(name: str) -> Iterator[Row]:
    """Run one bench."""
    run: Callable[[], Iterator[Row]] = importlib.import_module(f"bench.{name}").run
    yield from run()


def shown(value: object) -> str:
    """A cell of the table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_table(documents: Sequence[dict[str, object]]) -> None:
    """A plain table, as wide as it needs to be."""
    lines = [COLUMNS, *(tuple(shown(each[column]) for column in COLUMNS) for each in documents)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def measure(wanted: Sequence[str], goals: dict[tuple[str, str], Goal]) -> list[dict[str, object]]:
    """Every row of the wanted benches, told on standard error as it comes."""
    found: list[dict[str, object]] = []
    for name in wanted:
        for row in rows(name):
            found.append(document(row, goals.get((row.bench, row.trial))))
            print(f"{row.bench} {row.trial}: {row.ours:.4g} {row.unit}", file=sys.stderr)
    return found


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 fine, 1 a goal was missed, 2 usage."""
    wanted = [each for each in arguments if each not in SWITCHES]
    if len(wanted) != 1 or wanted[0] not in [*names(), "all"]:
        print(
            f"usage: ./dev bench NAME [--json] [--quick]; NAME is one of: {', '.join([*names(), 'all'])}",
            file=sys.stderr,
        )
        return 2
    if "--quick" in arguments:
        os.environ["MAINSTAY_BENCH"] = "quick"
    found = measure(names() if wanted == ["all"] else wanted, load_goals())
    if wanted == ["all"] and not quick():
        write_page(found)
    if "--json" in arguments:
        print(json.dumps(found, indent=1))
    else:
        print_table(found)
    return 1 if any(each["met"] is False for each in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
