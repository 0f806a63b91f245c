"""The examinations of `mainstay doctor`: each looks at one thing and says what it saw and what helps."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstay.cli.examine_gateway import gateway_lines
from mainstay.core.amounts import format_size
from mainstay.core.errors import MainstayError
from mainstay.store.inbox import DEAD, KEPT, QUEUED

if TYPE_CHECKING:
    from mainstay.app import App
    from mainstay.config.model import Config
    from mainstay.ports.objects import Storage

OK, WARN, FAIL = "ok", "warn", "fail"
PATIENCE = 20.0
"""Seconds that any single examination may take."""
LITTLE = 500_000_000
"""Bytes of free space below which a disk is called nearly full."""
FUTURE = 120.0
"""Seconds by which something may lie in the future before the clock is doubted."""


class Line(NamedTuple):
    """What one examination saw."""

    state: str
    what: str
    detail: str
    hint: str = ""


async def examined(what: str, look: Callable[[], Awaitable[str | Line]]) -> Line:
    """Look, within bounds; an expected fault becomes a line."""
    try:
        async with asyncio.timeout(PATIENCE):
            seen = await look()
    except MainstayError as fault:
        return Line(FAIL, what, fault.what, fault.hint or "")
    except TimeoutError:
        return Line(
            FAIL, what, f"no answer within {PATIENCE:g}s", "look whether it hangs or is not reachable"
        )
    except OSError as fault:
        return Line(FAIL, what, fault.strerror or str(fault), "look at the path, its owner and the network")
    return seen if isinstance(seen, Line) else Line(OK, what, seen)


def secrets(data: Any) -> Iterator[Line]:
    """Look every secret of a file up, and say where it was found; never what it is."""
    from mainstay.config.secrets import Secrets

    told: list[str] = []
    resolver = Secrets(warn=told.append)
    for name in sorted(set(_names(data))):
        try:
            place = resolver.find(name)[1]
        except LookupError as missing:
            what, _, remedy = str(missing.args[0]).partition("; ")
            yield Line(FAIL, f"secret {name}", what.removeprefix(f"secret {name} "), remedy)
            continue
        if told:
            what, _, hint = told.pop().partition(" (hint: ")
            yield Line(WARN, f"secret {name}", what, hint.rstrip(")"))
        else:
            yield Line(OK, f"secret {name}", f"from {place}")


def _names(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        if set(data) == {"secret"} and isinstance(data["secret"], str):
            yield data["secret"]
        for value in data.values():
            yield from _names(value)
    elif isinstance(data, list):
        for value in data:
            yield from _names(value)


def state_dir(config: "Config") -> Line:
    """Look whether the state directory can be written, and how much room it has."""
    path = config.state_dir
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = path / f".doctor-{os.getpid()}"
        probe.write_bytes(b"mainstay was here\n")
        probe.unlink()
        disk = os.statvfs(path)
    except OSError as fault:
        reason = (fault.strerror or "cannot be written").lower()
        return Line(FAIL, "state_dir", f"{path}: {reason}", "run as its owner, or set `state_dir`")
    free = disk.f_bavail * disk.f_frsize
    state = WARN if free < LITTLE else OK
    return Line(state, "state_dir", f"{path}, {format_size(free)} free", "make room" if state == WARN else "")


async def everything(app: "App", *, send: bool) -> AsyncIterator[Line]:
    """Examine what the configuration names, one after the other."""
    yield await examined("journal", lambda: _journal(app))
    yield await examined("clock", lambda: _clock(app))
    yield await examined("agent", lambda: _agent(app))
    if app.config.webhooks:
        listen = app.config.edge.webhooks
        yield await examined("edge for webhooks", lambda: _edge("edge for webhooks", listen))
        yield await examined("log of webhooks", lambda: _log(app))
    async for line in _gateway(app):
        yield line
    for name, source in app.config.webhooks.items():
        look = _target if source.deliver_to is not None else _kept
        yield await examined(f"target of {name}", lambda look=look, name=name: look(app, name))  # type: ignore[misc]
    if app.config.databases:
        yield await examined("tools", lambda: _tools(app))
    for name in app.config.storage:
        yield await examined(f"storage {name}", lambda name=name: _storage(app, name))  # type: ignore[misc]
    for name in app.config.databases:
        yield await examined(f"database {name}", lambda name=name: _database(app, name))  # type: ignore[misc]
    for name, dataset in app.config.data.items():
        yield await examined(f"data {name}", dataset.examine)
    for name in [name for name, one in app.config.databases.items() if one.wal is not None]:
        yield await examined(f"log {name}", lambda name=name: _wal(app, name))  # type: ignore[misc]
    for each in app.config.certificates:
        name = each.called
        yield await examined(f"certificate {name}", lambda name=name: _certificate(app, name))  # type: ignore[misc]
    for name in app.controls:
        yield await examined(f"service {name}", lambda name=name: _service(app, name))  # type: ignore[misc]
    for name in app.config.notify:
        yield await examined(f"channel {name}", lambda name=name: _channel(app, name, send))  # type: ignore[misc]


async def _gateway(app: "App") -> AsyncIterator[Line]:
    """Examine the gateway, if there is one."""
    if app.config.gateway is None:
        return
    where = app.config.edge.gateway
    yield await examined("edge's gateway", lambda: _edge("edge's gateway", where))
    if app.config.gateway.engine == "envoy":
        yield await examined("envoy", lambda: _envoy(app))
    for line in await asyncio.to_thread(gateway_lines, app.config):
        yield line
    if app.config.gateway.asked is not None:
        asked = app.config.edge.decide
        yield await examined("edge for proxies", lambda: _edge("edge for proxies", asked))


async def _journal(app: "App") -> str:
    from mainstay.core.secret import redact
    from mainstay.store import meta

    began = app.clock.monotonic()
    await app.store.write(lambda tx: meta.put(tx, "doctor", repr(app.clock.now())))
    took = (app.clock.monotonic() - began) * 1000
    return f"{redact(app.config.journal_url)}, written in {took:.1f} ms"


async def _clock(app: "App") -> str | Line:
    from mainstay.store import views

    frame = await app.store.read(views.frame)
    now = app.clock.now()
    newest = max((frame.get(name) or 0.0 for name in ("beat_at", "measured_at")), default=0.0)
    if newest > now + FUTURE:
        return Line(
            FAIL, "clock", "the journal has answers from the future", "set this machine's clock (chrony, NTP)"
        )
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


async def _agent(app: "App") -> str | Line:
    from mainstay.cli.words import ago
    from mainstay.store import nodes

    now = app.clock.now()
    agents = [node for node in await app.store.read(nodes.everyone) if node.role == "agent"]
    living = [node for node in agents if now - node.beat_at < 60]
    if living:
        node = max(living, key=lambda node: node.beat_at)
        return f"process {node.pid} on {node.host}, heard of {ago(node.beat_at, now)}"
    detail = f"heard of {ago(max(node.beat_at for node in agents), now)}" if agents else "does not run"
    return Line(WARN, "agent", detail, "mainstay up")


async def _wal(app: "App", name: str) -> str | Line:
    from mainstay.cli.examine_wal import log_of

    state, told, hint = await log_of(app, name)
    return Line(state, f"log {name}", told, hint)


async def _certificate(app: "App", name: str) -> str | Line:
    """See whether an order could begin: certbot and its plug-in, the web server's directory, the authority."""
    from mainstay.certs.certbot import program
    from mainstay.certs.ports import CertPorts
    from mainstay.store import certificates

    ports = app.port(CertPorts)
    settings = ports.certificate(name)
    program(settings)
    if settings.webroot is not None and not os.access(settings.webroot, os.W_OK):
        return Line(
            FAIL, f"certificate {name}", f"{settings.webroot} cannot be written", "make it, or mend its owner"
        )
    await ports.words.reach(settings.server, settings.server_ca)
    row = await app.store.read(lambda tx: certificates.get(tx, name))
    if row.fault:
        return Line(WARN, f"certificate {name}", row.fault, f"mainstay logs renew:{name}")
    left = (
        "none yet"
        if row.not_after is None
        else f"valid for {(row.not_after - app.clock.now()) / 86400:.0f} days"
    )
    return f"{left}; its authority answers"


async def _edge(what: str, listen: str) -> str | Line:
    """Look whether somebody takes connections where the edge should; whoever it is is not asked."""
    from urllib.parse import urlsplit

    from mainstay.core.listen import within

    place = urlsplit(within(listen, tls=False))
    if not place.port:
        return f"listens on {listen}, a free port"
    try:
        _, writer = await asyncio.open_connection(place.hostname, place.port)
    except OSError:
        return Line(WARN, what, f"nobody listens on {listen}", "mainstay up; its log says why it cannot")
    writer.close()
    return f"listens on {listen}"


async def _envoy(app: "App") -> str:
    """Look for Envoy's program, and which one it is."""
    from mainstay.edge.gateway.envoy.program import find, version
    from mainstay.edge.gateway.settings import EnvoySettings

    settings = app.config.gateway.envoy if app.config.gateway else EnvoySettings()
    program = find(settings)
    return f"{program}, {await version(program)}"


async def _log(app: "App") -> str | Line:
    from mainstay.cli.examine_log import waiting_in_log

    told, late = await waiting_in_log(app)
    return (
        Line(WARN, "log of webhooks", told, "see the agent's log, and that the journal answers")
        if late
        else told
    )


async def _target(app: "App", name: str) -> str | Line:
    """Tell how the delivery of a source stands. The target is not asked: it would have to act on a test."""
    from mainstay.cli.words import ago
    from mainstay.store import inbox_delivery

    now = app.clock.now()
    standings = await app.store.read(inbox_delivery.stats)
    delivery = (await app.store.read(inbox_delivery.deliveries)).get(name)
    waiting, dead = (
        sum(one.events for one in standings if (one.source, one.state) == (name, state))
        for state in (QUEUED, DEAD)
    )
    if delivery is not None and delivery.state != "closed":
        detail = f"left alone since {ago(delivery.since or now, now)}: {delivery.detail}; {waiting} wait"
        return Line(WARN, f"target of {name}", detail, "start it; what waits is then brought by itself")
    told = f"{delivery.delivered if delivery else 0} delivered, {waiting} wait"
    if dead:
        remedy = f"mainstay inbox list --source {name} --state dead"
        return Line(WARN, f"target of {name}", f"{told}, {dead} dead letters", remedy)
    return told


async def _kept(app: "App", name: str) -> str:
    """Tell what is kept of a source that nobody takes."""
    from mainstay.core.units import format_duration
    from mainstay.store import inbox_delivery

    standings = await app.store.read(inbox_delivery.stats)
    kept = sum(one.events for one in standings if (one.source, one.state) == (name, KEPT))
    return f"nobody (no deliver_to): {kept} kept, each for {format_duration(app.config.webhooks[name].keep)}"


async def _tools(app: "App") -> str | Line:
    from mainstay.backup.ports import BackupPorts

    found = await asyncio.to_thread(app.port(BackupPorts).tools.all)
    if not found:
        return Line(
            FAIL, "tools", "no pg_dump on this machine", "install postgresql-client or mainstay[sandbox]"
        )
    return ", ".join(map(str, found))


async def _storage(app: "App", name: str) -> str | Line:
    from mainstay.backup.owner import admit
    from mainstay.backup.ports import BackupPorts

    storage = app.config.storage[name]
    await admit(app.port(BackupPorts), name)
    began = app.clock.monotonic()
    powers = await storage.check()
    took = (app.clock.monotonic() - began) * 1000
    done = ["written", *(["read"] if powers.read else []), *(["deleted"] if powers.delete else [])]
    told = (
        f"{storage.target()}: {', '.join(done[:-1])}{' and ' if done[1:] else ''}{done[-1]} in {took:.0f} ms"
    )
    told += "" if powers.delete else "; the key may not delete"
    if storage.write_only and (powers.read or powers.delete):
        can = "delete" if powers.delete else "read"
        return Line(
            WARN, f"storage {name}", f"{told}; it is called write_only, but its key can {can}", POLICY
        )
    wrong = await storage.doubt()
    if wrong is not None:
        return Line(FAIL, f"storage {name}", wrong, "make a new bucket with object lock, or leave `lock` out")
    return _sealed(name, storage, told)


POLICY = "whoever takes this machine over can, too: give the key a narrower policy"


def _sealed(name: str, storage: "Storage", told: str) -> str | Line:
    """Add what is to be said of the encryption."""
    if storage.encrypt is None:
        return told
    told += f"; encrypted for {len(storage.encrypt.recipients)}"
    if not storage.encrypt.identities:
        return f"{told}, no identity here: backups are proven elsewhere"
    if not storage.encrypt.opens():
        hint = "add the recipient that belongs to it, or the identity that belongs to a recipient"
        return Line(
            WARN, f"storage {name}", f"{told}, but the identity here does not open what is written now", hint
        )
    return told


async def _database(app: "App", name: str) -> str:
    from mainstay.backup.session import one, session
    from mainstay.ports.postgres.dsn import Dsn

    async with session(Dsn.parse(app.config.databases[name].dsn.reveal())) as connection:
        version, size = await one(
            connection, "SELECT current_setting('server_version'), pg_database_size(current_database())"
        )
    return f"PostgreSQL {version.split(' ')[0]}, {format_size(size)}"


async def _service(app: "App", name: str) -> str | Line:
    state = await app.controls[name].state()
    told = f"{state.state}: {state.detail}" if state.detail else str(state.state)
    if state.state == "missing":
        return Line(FAIL, f"service {name}", told, "look at `runs_on`")
    if state.state != "running":
        return Line(WARN, f"service {name}", told, f"mainstay heal {name} --dry-run")
    return told


async def _channel(app: "App", name: str, send: bool) -> str | Line:
    if not send:
        return Line(OK, f"channel {name}", "not tried; --send tells it something")
    from mainstay.cli.examine_channel import tried

    return await tried(app, name)
