"""The journal's shape: numbered steps, forward only, each in one transaction."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mainstay.core.errors import JournalError

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: `0002_name.sql`."""

    number: int
    name: str
    text: str


@cache
def migrations(directory: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """Give every step in order. Raises `ValueError` when a number is missing or doubled."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(int(number), name, path.read_text("utf-8")))
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1, 2, 3, ...: {[step.number for step in found]}")
    return tuple(found)


def due(present: int, steps: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """Give the steps that a journal at schema `present` still needs; raises `JournalError` if it is newer."""
    known = steps[-1].number
    if present > known:
        raise JournalError(
            f"the journal has schema {present}, this mainstay knows schemas up to {known}",
            hint="install the newer mainstay again, or restore the copy that was made before the update",
        )
    return steps[present:]


def forward(
    present: int,
    steps: tuple[Migration, ...],
    apply: Callable[[Migration], None],
    before: Callable[[int], None],
) -> int:
    """Bring a journal from schema `present` to the newest; gives how many steps were taken.

    `apply` runs one step and notes its number in one transaction. `before(present)` is called once if there is
    anything to lose: that is, if the journal is not new.
    """
    todo = due(present, steps)
    if todo and present:
        before(present)
    for step in todo:
        try:
            apply(step)
        except JournalError:
            raise
        except Exception as error:
            raise JournalError(
                f"schema {step.number} ({step.name}) could not be applied: {error}",
                hint="the journal is as it was before; report this with the line above",
            ) from error
    return len(todo)


def statements(text: str) -> Iterator[str]:
    """Split a script into statements, at semicolons outside strings, quoted names and comments."""
    start = 0
    for token in _SPLIT.finditer(text):
        if token[0] == ";":
            if _says_something(text[start : token.start()]):
                yield text[start : token.start()].strip()
            start = token.end()
    if _says_something(text[start:]):
        yield text[start:].strip()


_SPLIT = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|;""", re.DOTALL)


def _says_something(text: str) -> bool:
    return bool(re.sub(r"--[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL).strip())
