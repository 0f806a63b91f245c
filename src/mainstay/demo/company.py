"""Sets the scene: a PostgreSQL with data, the stand-in for Slack and PagerDuty, and a running `mainstay up`."""

import asyncio
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import MainstayError
from mainstay.demo.authority import authority
from mainstay.demo.home import end_services
from mainstay.demo.receiver import Receiver
from mainstay.ports.clock import SystemClock
from mainstay.ports.postgres.dsn import Dsn
from mainstay.ports.postgres.sandbox import sandbox
from mainstay.ports.postgres.tools import RECOVERY, REPLICATION, Tools, Toolset
from mainstay.ports.scratch import Scratch, Workspace
from mainstay.store.base import Store
from mainstay.store.open import open_store

DATABASES = {"erp_prod": "erp.sql", "analytics": "analytics.sql"}
PORTS = {"api": 18069, "books": 18070, "webhooks": 18421, "gateway": 18422, "web": 8800}
LOG = re.compile(r"^ +wal: .*\n", re.MULTILINE)
"""The line of the file that says that the server's log is kept."""
KEPT = {"wal_level": "replica", "max_wal_senders": "4", "full_page_writes": "on", "synchronous_commit": "on"}
"""Settings of a server whose log is kept."""
RECEIVER = "http://127.0.0.1:18080"
STOP_SECONDS = 20.0

DsnOf = Callable[[str], Dsn]


@dataclass(slots=True)
class Company:
    """Everything that runs for the demonstration."""

    home: Path
    file: Path
    config: Config
    store: Store
    receiver: Receiver
    up: asyncio.subprocess.Process
    environment: dict[str, str]
    toolset: Toolset
    erp: Dsn
    """The address of the database that things happen to."""
    space: Workspace
    """For what is made on the way; it is gone at the end."""
    tables: int
    rows: int
    site: int | None = None
    """The port of the site that serves a certificate; None where there is no authority to get one from."""

    @property
    def url(self) -> str:
        """The dashboard's address."""
        return f"http://{self.config.web.listen}"

    async def mainstay(self, *words: str) -> tuple[int, str, str]:
        """Run a mainstay command as a person would; give exit code, output, messages."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mainstay", *words, "--config", str(self.file),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self.environment, cwd=self.home,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def company(home: Path) -> AsyncIterator[Company]:
    """Start everything below `home`, and end it all afterwards."""
    async with AsyncExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        scratch = Scratch(home / "scratch")
        scratch.sweep()
        space = stack.enter_context(scratch.workspace())
        toolset = Tools(only=("wheel", "npm", "system")).server(1)
        kept = toolset.has(*REPLICATION, *RECOVERY)
        server = await stack.enter_async_context(sandbox(toolset, space, KEPT if kept else {}))
        tables, rows = await _fill(server.dsn)
        environment = _environment(server.dsn, receiver)
        issuer = await stack.enter_async_context(authority(home, _free_port))
        file = _configuration(home, receiver, kept, issuer.section if issuer else "")
        config = load(file, environ=environment)
        up = await _start_up(file, environment, home)
        stack.push_async_callback(_stop, up, home)
        store = await _journal(config, up, home)
        stack.push_async_callback(store.close)
        site = issuer.site if issuer else None
        erp = server.dsn("erp_prod")
        yield Company(
            home, file, config, store, receiver, up, environment, toolset, erp, space, tables, rows, site
        )


async def _fill(dsn: DsnOf) -> tuple[int, int]:
    from psycopg import AsyncConnection, sql

    async with await AsyncConnection.connect(_conninfo(dsn("postgres")), autocommit=True) as connection:
        for name in DATABASES:
            await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    tables = rows = 0
    for name, script in DATABASES.items():
        async with await AsyncConnection.connect(_conninfo(dsn(name)), autocommit=True) as connection:
            await connection.execute(resources.files("mainstay.demo").joinpath(script).read_bytes())
            await connection.execute("ANALYZE")
            counted = await connection.execute(
                "SELECT count(*), coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class "
                "WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, to_regnamespace('audit'))"
            )
            found = await counted.fetchone() or (0, 0)
            tables, rows = tables + found[0], rows + found[1]
    return tables, rows


def _conninfo(dsn: Dsn) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo("", **dsn.params)


def _environment(dsn: DsnOf, receiver: Receiver) -> dict[str, str]:
    python = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{python}{os.pathsep}{os.environ.get('PATH', '/usr/bin:/bin')}",
        "MAINSTAY_ERP_DSN": _conninfo(dsn("erp_prod")),
        "MAINSTAY_ANALYTICS_DSN": _conninfo(dsn("analytics")),
        "MAINSTAY_SLACK_URL": f"{receiver.url}/services/T000/B000/demonstration",
        "MAINSTAY_WEBHOOK_BANK": secrets.token_hex(32),
        "MAINSTAY_TOKEN_KEY": secrets.token_hex(32),
        "MAINSTAY_PAGERDUTY_KEY": "0123456789abcdef0123456789abcdef",
    }


def _configuration(home: Path, receiver: Receiver, kept: bool, more: str) -> Path:
    """Copy the example, with other ports where the usual ones are taken, and add what only this machine has.

    Where no program can keep a log, none is.
    """
    text = resources.files("mainstay.demo").joinpath("mainstay.yaml").read_text()
    if not kept:
        text = LOG.sub("", text)
    for port in PORTS.values():
        text = re.sub(rf"\b{port}\b", str(_free_port(port)), text)
    file = home / "mainstay.yaml"
    file.write_text(text.replace(RECEIVER, receiver.url) + more)
    return file


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise MainstayError("there is no free port on this machine")


async def _start_up(file: Path, environment: dict[str, str], home: Path) -> asyncio.subprocess.Process:
    with (home / "up.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mainstay", "up", "--config", str(file),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=home,
        )  # fmt: skip


async def _journal(config: Config, up: asyncio.subprocess.Process, home: Path) -> Store:
    """Open the journal that `mainstay up` keeps, once it is there."""
    path = config.state_dir / "journal.db"
    for _ in range(600):
        if path.exists():
            return await open_store(config.journal_url, SystemClock())
        if up.returncode is not None:
            break
        await asyncio.sleep(0.05)
    raise MainstayError(f"mainstay up did not start: {(home / 'up.log').read_text()[-800:]}")


async def _stop(up: asyncio.subprocess.Process, home: Path) -> None:
    with suppress(ProcessLookupError):
        up.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(up.wait(), STOP_SECONDS)
    except TimeoutError:
        up.kill()
        await up.wait()
    await end_services(home)
