"""What every command is given: its output, the configuration and the journal, each only when asked for."""

import signal
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mainstay.cli.output import Output
from mainstay.ports.clock import Clock, SystemClock

if TYPE_CHECKING:
    from mainstay.app import App
    from mainstay.config.model import Config
    from mainstay.config.outline import Outline
    from mainstay.store.base import Unit

T = TypeVar("T")


class Context:
    """The world of one command."""

    def __init__(self, out: Output, config: str | None = None, clock: Clock | None = None) -> None:
        self.out = out
        self.clock = clock or SystemClock()
        self._given = config
        self._outline: Outline | None = None

    @property
    def path(self) -> Path:
        """The configuration file. Raises `ConfigError` when there is none."""
        from mainstay.config import find

        return find(self._given)

    def outline(self) -> "Outline":
        """Give the few facts that looking needs; fast when the file was validated before.

        A file that is wrong now is warned of, and counts as it last was right: who looks at night must see something.
        """
        from mainstay.config.outline import outline

        if self._outline is None:
            self._outline = outline(self.path, warn=self.warn)
        return self._outline

    def config(self, *, secrets: bool = True) -> "Config":
        """Load the whole configuration; secret files that others can read are warned of."""
        from mainstay.config import load

        return load(self.path, secrets=secrets, warn=self.warn)

    def warn(self, message: str) -> None:
        """Say what is no fault yet."""
        self.out.note(("mainstay: ", "yellow"), message)

    def look(self, unit: "Unit[T]") -> T:
        """Read the journal. Raises `JournalError` when there is none."""
        from mainstay.store.glance import Older, glance

        outline = self.outline()
        if outline.journal_file is not None:
            try:
                return glance(outline.journal_file, unit)
            except Older:
                pass  # opening it in earnest brings it forward
        url = outline.journal_url()

        async def read() -> T:
            from mainstay.store.open import open_store

            store = await open_store(url, self.clock)
            try:
                return await store.read(unit)
            finally:
                await store.close()

        return run_async(read())

    def change(self, unit: "Unit[T]") -> T:
        """Write to the journal; it is on disk when this returns."""

        async def write() -> T:
            from mainstay.store.open import open_store

            store = await open_store(self.outline().journal_url(), self.clock)
            try:
                return await store.write(unit)
            finally:
                await store.close()

        return run_async(write())

    def app(self, config: "Config | None" = None) -> "AbstractAsyncContextManager[App]":
        """Put everything together, for commands that run jobs."""
        from mainstay.app import open_app

        return open_app(config or self.config(), self.clock, role="cli")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; Ctrl-C cancels it first and is then raised."""
    import asyncio

    # A loop that is interrupted while it is made or closed complains in its own words, so Ctrl-C is held back then.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    async def disturbed() -> T:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            return await work
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    try:
        return asyncio.run(disturbed())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
