"""A restored data directory, started as anybody would."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.postgres import PostgresServer
from tests.servers.process import Engine, free_port, started


@contextmanager
def running(server: PostgresServer, data: Path) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Start what lies in `data` with the programs of `server`; give a connection to it."""
    port = 0

    def launch() -> Engine:
        nonlocal port
        port = free_port()
        argv = [str(server.bin / "postgres"), "-D", str(data), "-p", str(port), "-k", str(server.base)]
        return Engine(
            argv,
            server.base / f"log-{data.name}",
            cwd=server.base,
            user=server.servant,
            orphan_signal=signal.SIGQUIT,
        )

    def dsn() -> str:
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        with psycopg.connect(dsn(), connect_timeout=5):
            return True

    engine = started(launch, answers)
    try:
        with psycopg.connect(dsn(), autocommit=True) as connection:
            yield connection
    finally:
        engine.stop(signal.SIGINT)
