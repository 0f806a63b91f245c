"""`python -m tools.reference` writes `docs/reference/`; with `--check` it says what that would change."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.reference import api, commands, metrics, settings

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MARK = "<!-- Written by ./dev docs from the code. Change the code. -->\n\n"


def pages() -> dict[str, str]:
    """Every generated page by file name."""
    every = {
        **settings.pages(),
        "api.md": api.page(),
        "commands.md": commands.page(),
        "metrics.md": metrics.page(),
    }
    return {name: MARK + text for name, text in every.items()}


def stale(folder: Path, wanted: dict[str, str]) -> list[str]:
    """The names of the pages which are missing, different or no longer wanted."""
    present = {
        path.name: path.read_text() for path in folder.glob("*.md") if path.read_text().startswith(MARK)
    }
    return sorted(name for name in present.keys() | wanted.keys() if present.get(name) != wanted.get(name))


def write(folder: Path, wanted: dict[str, str]) -> None:
    """Make the folder's generated pages exactly these."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale(folder, wanted):
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()


def main() -> int:
    """The exit code: 0 when the pages are (now) up to date."""
    wanted = pages()
    if "--check" not in sys.argv[1:]:
        write(FOLDER, wanted)
        print(f"{len(wanted)} pages in docs/reference")
        return 0
    old = stale(FOLDER, wanted)
    for name in old:
        print(f"docs/reference/{name} does not say what the code says. hint: ./dev docs")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
