"""Says how much of the product the suite ran, by lines and by branches, and fails when it is too little.

`coverage report --fail-under` mixes lines and branches into one figure; the promise is about lines.
"""

from __future__ import annotations

import sys
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

LINES_WANTED = 90.0
CONFIG = Path(__file__).parent.parent / "pyproject.toml"


def percent(part: int, whole: int) -> float:
    """The share in percent; all of nothing is 100."""
    return 100.0 * part / whole if whole else 100.0


def measure() -> tuple[float, float]:
    """Print the files with gaps; return the percentages of lines and of branches which ran."""
    import json

    coverage = Coverage(config_file=str(CONFIG))
    coverage.load()
    coverage.report(show_missing=True, skip_covered=True)
    report = Path(str(coverage.get_option("json:output")))
    coverage.json_report(outfile=str(report))
    totals = json.loads(report.read_text())["totals"]
    return (
        percent(totals["covered_lines"], totals["num_statements"]),
        percent(totals["covered_branches"], totals["num_branches"]),
    )


def main() -> int:
    """The exit code: 0 when enough lines ran."""
    try:
        lines, branches = measure()
    except NoDataError:
        print("no coverage was measured. hint: run ./dev test without arguments", file=sys.stderr)
        return 1
    enough = lines >= LINES_WANTED
    verdict = "ok" if enough else f"too little: at least {LINES_WANTED:.0f} % of lines are wanted"
    print(f"coverage: {lines:.1f} % of lines, {branches:.1f} % of branches: {verdict}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
