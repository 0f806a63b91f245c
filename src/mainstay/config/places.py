"""Where things are, from few facts: shared by the configuration and by commands that must start fast."""

from pathlib import Path
from urllib.parse import quote, unquote

SQLITE = "sqlite:///"


def journal_url(given: str | None, directory: Path, state_dir: Path) -> str:
    """Give the journal's URL with an absolute path; `given` is as written in a file that lies in `directory`."""
    if given is None:
        return SQLITE + quote(str(state_dir / "journal.db"))
    if given.startswith(SQLITE):
        path = unquote(given.removeprefix(SQLITE))
        return SQLITE + quote(str(directory / path)) if path else given
    return given
