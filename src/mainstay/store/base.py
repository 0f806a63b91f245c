"""What a journal can do, whichever database keeps it.

A *unit* is a plain function over a transaction. Repositories (`store/runs.py`, `store/incidents.py`, ...) are
such functions, so that a room composes several of them into one unit: an incident's change of state and the
messages that it owes are written together or not at all.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from mainstay.core.errors import JournalError

T = TypeVar("T")
Row = Mapping[str, Any]


class Rejected(JournalError):
    """The journal is well, but will not have this."""


class Conflict(Rejected):
    """A row breaks a unique or a foreign key.

    Its unit is undone, even if it catches this: a query that wants to go on says ON CONFLICT.
    """


class OutcomeUnknown(JournalError):
    """The connection was lost while the write was being committed: it may be kept or not.

    Repeat it if doing so twice does no harm, as with rows that have a unique key.
    """


class Tx(Protocol):
    """An open transaction. Queries are named `file.name` and live in `store/queries/file.sql`.

    Parameters are by name. Text, numbers, bytes and None go in and come out; JSON is text; times are seconds
    since 1970; truth is 0 or 1.
    """

    dialect: str
    """`sqlite` or `postgres`."""

    def all(self, query: str, /, **params: Any) -> list[Row]:
        """Give every row."""
        ...

    def one(self, query: str, /, **params: Any) -> Row | None:
        """Give the first row, or None."""
        ...

    def run(self, query: str, /, **params: Any) -> int:
        """Change rows; give how many."""
        ...

    def many(self, query: str, /, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one change for each mapping of parameters; give how many rows changed."""
        ...

    def signal(self, topic: str) -> None:
        """Wake those who `wait` for the topic, in every process, once this transaction is durable."""
        ...


Unit = Callable[[Tx], T]


class Store(Protocol):
    """An open journal. Safe to use from one event loop; close it at the end."""

    dialect: str
    renewed: int
    """How often the journal was found to be another one than before, because somebody removed or replaced its file."""

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` in a transaction; it is on disk when this returns.

        Units may be grouped into one commit, each in its own savepoint: an exception undoes its own unit only and
        is raised here. A unit must be repeatable: it may run again when the database asks for it.
        """
        ...

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit` on a consistent snapshot; it must not write."""
        ...

    async def wait(self, topic: str, timeout: float) -> bool:
        """Wait until `topic` is signalled by any process or `timeout` seconds have passed; true if signalled.

        A signal sent between the last look at the data and this call is not lost: keep a `version` first, see
        `version`.
        """
        ...

    def version(self, topic: str) -> int:
        """Give a number that grows with every signal seen by this process; pass time by comparing it."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then close."""
        ...
