"""Open a journal by its URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock
from mainstay.store.base import Store


async def open_store(url: str, clock: Clock) -> Store:
    """Open `sqlite:///relative`, `sqlite:////absolute` or `postgresql://...`, at the newest schema.

    Raises `JournalError`: not reachable, not a journal, or newer than this program.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from mainstay.store.sqlite import open_sqlite

        return await open_sqlite(sqlite_path(url), clock)
    if scheme in ("postgresql", "postgres"):
        from mainstay.store.postgres import open_postgres

        return await open_postgres(url, clock)
    raise JournalError(
        f"a journal cannot be kept in {scheme or 'this'!r}",
        hint="write sqlite:///mainstay.db or postgresql://...",
    )


def sqlite_path(url: str) -> Path:
    """Give the file that a `sqlite:///` URL means."""
    path = unquote(urlsplit(url).path.removeprefix("/"))
    if urlsplit(url).netloc or not path or path == ":memory:":
        raise JournalError(
            f"{url} names no file", hint="write sqlite:///relative/file.db or sqlite:////absolute/file.db"
        )
    return Path(path)
