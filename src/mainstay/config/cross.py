"""What no single option can know: names that must exist elsewhere in the file, and what contradicts itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainstay.config.document import Where
from mainstay.config.problems import meant
from mainstay.core.amounts import format_duration, format_size
from mainstay.upkeep.optimise.job import OptimizeDatabase

if TYPE_CHECKING:
    from mainstay.config.model import Config
    from mainstay.edge.gateway.settings import GatewaySettings
    from mainstay.edge.webhooks import WebhookSettings


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault at a path of the file, and its remedy."""

    path: Where
    what: str
    hint: str


def problems(config: "Config") -> Iterator[Problem]:
    """Give everything that contradicts itself, in no particular order."""
    yield from _journal(config)
    yield from _checks(config)
    yield from _dependencies(config)
    yield from _healing(config)
    yield from _backups(config)
    yield from _data(config)
    yield from _certificates(config)
    yield from _schedules(config)
    yield from _looked_after(config)
    yield from _webhooks(config)
    yield from _covered(config)
    yield from _gateway(config)


def unknown(path: Where, name: str, noun: str, known: Iterable[str], section: str) -> Problem:
    """Complain about a name that stands nowhere."""
    names = sorted(known)
    guess = meant(name, names)
    what = f"there is no {noun} {name}" + (f"; did you mean {guess}?" if guess else "")
    hint = f"known: {', '.join(names)}" if names else f"add it under {section}:"
    return Problem(path, what, hint)


def _journal(config: "Config") -> Iterator[Problem]:
    written = config.journal
    if written is None or not written.resolved:
        return
    scheme, _, rest = written.reveal().partition("://")
    hint = "write sqlite:///FILE or postgresql://USER@HOST/NAME"
    if scheme not in ("sqlite", "postgresql", "postgres"):
        yield Problem(("journal",), f"a journal cannot be kept in {scheme!r}", hint)
    elif scheme == "sqlite" and (not rest.startswith("/") or len(rest) < 2):
        yield Problem(("journal",), "this names no file", "three slashes and a path: sqlite:///journal.db")


def _checks(config: "Config") -> Iterator[Problem]:
    for service, settings in config.services.items():
        seen: dict[str, int] = {}
        for index, check in enumerate(settings.checks):
            name = check.name or check.type_name
            path: Where = ("services", service, "checks", index)
            if "/" in name:
                yield Problem(path, f"the name {name} holds a slash", "use letters, digits, - and _")
            if name in seen:
                what = f"a second check called {name} in {service}"
                yield Problem(path, what, "give one of them another `name:`")
            seen[name] = index
            check = config.asked(settings, check)
            if check.timeout > check.every > 0:
                what = f"it is asked every {check.every:g}s but may take {check.timeout:g}s"
                yield Problem(path, what, "make `timeout` shorter than `every`")


def _dependencies(config: "Config") -> Iterator[Problem]:
    known = config.services
    for service, settings in known.items():
        for index, needed in enumerate(settings.depends_on):
            path: Where = ("services", service, "depends_on", index)
            if needed == service:
                yield Problem(path, f"{service} depends on itself", "remove it")
            elif needed not in known:
                yield unknown(path, needed, "service", known, "services")
    yield from _circles(config)


def _circles(config: "Config") -> Iterator[Problem]:
    told: set[str] = set()
    for start in config.services:
        trail = _circle_from(config, start)
        if trail and not told & set(trail):
            told |= set(trail)
            what = f"these depend on each other: {' -> '.join([*trail, trail[0]])}"
            yield Problem(("services", start, "depends_on"), what, "remove one of the arrows")


def _circle_from(config: "Config", start: str) -> list[str]:
    stack: list[list[str]] = [[start]]
    seen: set[str] = set()
    while stack:
        trail = stack.pop()
        service = config.services.get(trail[-1])
        for needed in service.depends_on if service else ():
            if needed == start and len(trail) > 1:
                return trail
            if needed not in seen and needed != start:
                seen.add(needed)
                stack.append([*trail, needed])
    return []


def _healing(config: "Config") -> Iterator[Problem]:
    for service, settings in config.services.items():
        if settings.heal is None:
            continue
        path: Where = ("services", service, "heal")
        if settings.runs_on is None:
            what = "cannot heal what runs nowhere"
            yield Problem(
                path, what, f"say what runs {service}: runs_on: systemd:UNIT, docker:NAME or a process"
            )
        if not settings.checks:
            yield Problem(path, "nothing would notice that it needs healing", f"give {service} a check")


def _data(config: "Config") -> Iterator[Problem]:
    for name, dataset in config.data.items():
        path: Where = ("data", name)
        if name in config.databases:
            yield Problem(
                path, "a database has this name already", "its backups would be mixed up: choose another"
            )
        if dataset.one_storage and len(dataset.backup.storages) > 1:
            where = (*path, dataset.type_name, "backup", "to")
            what = f"a backup by {dataset.type_name} is not copied to a second storage"
            yield Problem(where, what, "name one; for another storage, back it up under another name")
        for storage in dataset.backup.storages:
            if (
                dataset.one_storage
                and storage in config.storage
                and config.storage[storage].native("x") is None
            ):
                where = (*path, dataset.type_name, "backup", "to")
                what = f"{dataset.type_name} cannot write to a storage of type {config.storage[storage].type_name}"
                yield Problem(where, what, "name a directory or a bucket that may be read")
            if storage not in config.storage:
                where = (*path, dataset.type_name, "backup", "to")
                yield unknown(where, storage, "storage", config.storage, "storage")


def _backups(config: "Config") -> Iterator[Problem]:
    for database, settings in config.databases.items():
        path: Where = ("databases", database, "backup", "to")
        for name in settings.backup.storages if settings.backup else ():
            if name not in config.storage:
                yield unknown(path, name, "storage", config.storage, "storage")
        if settings.wal is None or settings.wal.engine == "pgbackrest":
            continue
        if settings.wal.to not in config.storage:
            path = ("databases", database, "wal", "to")
            yield unknown(path, settings.wal.to, "storage", config.storage, "storage")
        elif config.storage[settings.wal.to].write_only:
            what = f"the key to {settings.wal.to} may only write, and a log is gone on from where it ends"
            yield Problem(("databases", database, "wal", "to"), what, "name a storage that can be read")


def _certificates(config: "Config") -> Iterator[Problem]:
    seen: set[str] = set()
    for index, each in enumerate(config.certificates):
        path: Where = ("certificates", index)
        if each.called in seen:
            yield Problem(
                path, f"a second certificate called {each.called}", "give one of them another `name:`"
            )
        seen.add(each.called)
        if any(target.kind == "gateway" for target in each.reloads) and config.edge.tls is None:
            where = each.directory or config.state_dir / "certs" / each.called
            hint = f"edge: {{tls: {{certificate: {where}/fullchain.pem, key: {where}/privkey.pem}}}}"
            yield Problem((*path, "reload"), "the gateway speaks no TLS, so it has nothing to reload", hint)


def _schedules(config: "Config") -> Iterator[Problem]:
    for name, job in config.jobs.items():
        if {"at", "every"} <= job.model_fields_set:
            yield Problem(("jobs", name), "has both `at` and `every`", "keep one of the two")


def _looked_after(config: "Config") -> Iterator[Problem]:
    for name, job in config.jobs.items():
        if isinstance(job, OptimizeDatabase):
            for index, database in enumerate(job.databases):
                if database not in config.databases:
                    path: Where = ("jobs", name, "databases", index)
                    yield unknown(path, database, "database", config.databases, "databases")


def _webhooks(config: "Config") -> Iterator[Problem]:
    for source, settings in config.webhooks.items():
        path: Where = ("webhooks", source)
        scheme = settings.scheme
        if scheme.needs_secret and not settings.secrets:
            hint = f"secrets: [{{secret: webhook_{source}}}]"
            yield Problem(path, f"nothing would prove that {source} is the sender", hint)
        if not scheme.proves and not settings.allow_from:
            hint = "name the sender's addresses under `allow_from`, or choose a scheme that signs"
            yield Problem(path, f"anybody could send in the name of {source}", hint)
        for index, secret in enumerate(settings.secrets):
            fault = scheme.fault(secret.reveal()) if secret.resolved else None
            if fault:
                what = f"the secret {secret.name} cannot be used: {fault}"
                yield Problem((*path, "secrets", index), what, "copy it from the sender's own page")
        if "max_body" in settings.model_fields_set and settings.max_body > config.edge.max_body:
            what = f"the edge takes no body larger than {format_size(config.edge.max_body)}"
            yield Problem((*path, "max_body"), what, "make it smaller, or edge.max_body larger")
        yield from _copies(path, settings)


def _copies(path: Where, settings: "WebhookSettings") -> Iterator[Problem]:
    """Complain when a copy could outlive the memory of the first."""
    window, life = settings.dedup, settings.scheme.life
    if life is not None and 0 < window < life:
        valid, remembered = format_duration(life), format_duration(window)
        what = f"a copied request is valid for {valid} but known as a copy for {remembered}"
        yield Problem((*path, "dedup"), what, "make `dedup` longer")
    for option, kept in (("keep", settings.keep), ("keep_dead", settings.keep_dead)):
        if kept is not None and kept < window:
            what = f"events are forgotten after {format_duration(kept)}, and their copies would be new again"
            yield Problem((*path, option), what, f"make it {format_duration(window)} or `dedup` shorter")


def _covered(config: "Config") -> Iterator[Problem]:
    from mainstay.readiness.matrix import MATRIX

    for row in config.readiness.covered:
        if row not in MATRIX:
            yield unknown(("readiness", "covered", row), row, "row", MATRIX, "readiness")


def _asked(config: "Config", gateway: "GatewaySettings") -> Iterator[Problem]:
    """Look at what concerns other proxies, and the one that is a part of mainstay."""
    if gateway.asked is None:
        for index, route in enumerate(gateway.routes):
            if route.protocol == "http2":
                path: Where = ("gateway", "routes", index, "protocol")
                yield Problem(path, "the built-in engine speaks HTTP/1.1 only", "gateway: {engine: envoy}")
        return
    for other in ("webhooks", "gateway"):
        if config.edge.meet("decide", other):
            what = f"decide and {other} cannot listen on one address"
            yield Problem(("edge", "decide"), what, "give each its own port")
    if gateway.engine == "envoy":
        yield from _envoy(config, gateway)


def _envoy(config: "Config", gateway: "GatewaySettings") -> Iterator[Problem]:
    from mainstay.core.errors import ConfigError
    from mainstay.core.listen import split
    from mainstay.edge.gateway.export.site import Site, covers

    if split(config.edge.gateway)[1] == 0:
        yield Problem(("edge", "gateway"), "Envoy cannot listen on a free port", "name a port")
    if gateway.decide is not None and not covers(gateway.decide.peers, "127.0.0.1"):
        path: Where = ("gateway", "decide", "peers")
        yield Problem(path, "mainstay's own Envoy asks from 127.0.0.1", "add 127.0.0.1")
    try:
        Site(config.edge, gateway, False, config.edge.gateway, "/", supervised=True).check()
    except ConfigError as fault:
        yield Problem(("gateway", "engine"), fault.what, fault.hint or "")


def _gateway(config: "Config") -> Iterator[Problem]:
    gateway = config.gateway
    if gateway is None:
        return
    named: list[tuple[Where, str | None]] = [
        (("gateway", "default_plan"), gateway.default_plan),
        (("gateway", "anonymous_plan"), gateway.anonymous_plan),
    ]
    if gateway.auth.certificates is not None:
        named.append((("gateway", "auth", "certificates", "plan"), gateway.auth.certificates.plan))
    seen: dict[tuple[str, tuple[str, ...], tuple[str, ...]], int] = {}
    for index, route in enumerate(gateway.routes):
        path: Where = ("gateway", "routes", index)
        named += [((*path, "plans", at), plan) for at, plan in enumerate(route.plans)]
        same = (route.path, tuple(sorted(route.hosts)), tuple(sorted(route.methods)))
        if same in seen:
            yield Problem(
                path, f"a second route for {route.path}", "remove one, or tell them apart by hosts or methods"
            )
        seen[same] = index
        if route.auth in ("required", "optional") and not gateway.auth.any:
            what = "nothing says how anybody could show who asks"
            yield Problem(
                (*path, "auth"), what, "add tokens, keys, remote or certificates under gateway.auth"
            )
    yield from _asked(config, gateway)
    for place, plan in named:
        if plan is not None and plan not in gateway.plans:
            yield unknown(place, plan, "plan", gateway.plans, "gateway.plans")
