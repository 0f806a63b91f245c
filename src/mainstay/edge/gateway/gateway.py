"""The policy in force, what it needs to know kept fresh, and its change for another one between two requests."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.auth import Authenticator
from mainstay.edge.gateway.certificates import Certificates
from mainstay.edge.gateway.contact import Contact
from mainstay.edge.gateway.gate import Gate
from mainstay.edge.gateway.keyring import Connect, KeyRing
from mainstay.edge.gateway.limits import Leases, Limiter, MemoryLimiter, SharedLimiter
from mainstay.edge.gateway.limits.gcra import LocalLimiter
from mainstay.edge.gateway.limits.redis import RedisCentral
from mainstay.edge.gateway.outside import HttpOutside, Outside
from mainstay.edge.gateway.policy import Admit, Ask, Decision
from mainstay.edge.gateway.remote import Remote
from mainstay.edge.gateway.settings import GatewaySettings, StoreSettings
from mainstay.edge.gateway.settings_auth import AuthSettings, IssuerSettings, RemoteSettings
from mainstay.edge.gateway.tokens.bearer import Tokens
from mainstay.edge.gateway.tokens.issuer import Issuer
from mainstay.edge.gateway.tokens.sources import FetchedKeys, FixedKeys
from mainstay.edge.http.exchange import Header
from mainstay.ports.clock import Clock

_log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds for which nobody has asked Redis, or a service that did not answer, before it is looked at."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a gateway is given."""

    clock: Clock
    directory: Path
    """Where the file of shared limits may be; it exists."""
    processes: int = 1
    """How many processes serve the same gateway on this host."""
    connect: Connect | None = None
    """Opens the journal, for API keys; only when they are turned on."""
    outside: Outside | None = None
    """For keys and the validating service; over HTTP when left out."""


@dataclass(slots=True)
class Counters:
    """Where requests are counted."""

    settings: StoreSettings
    host: LocalLimiter
    central: Limiter
    redis: RedisCentral | None = None

    async def close(self) -> None:
        """Let go of everything."""
        if self.central is not self.host:
            self.central.close()
        self.host.close()
        if self.redis is not None:
            await self.redis.close()


@dataclass(slots=True)
class Policy:
    """A policy and what it needs to know."""

    gate: Gate
    auth: Authenticator
    counters: Counters
    sources: list[FetchedKeys]
    remote: Remote | None


class Gateway:
    """Decides by the policy in force. `start` it, and `close` it in the end."""

    def __init__(self, settings: GatewaySettings, around: Around) -> None:
        self._around = around
        self._outside = around.outside or HttpOutside()
        self._ring = KeyRing(around.connect, around.clock) if around.connect else None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._policy = self._build(settings, None)

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        """Judge a request by the policy in force."""
        return self._policy.gate.decide(ask, now, wall)

    def signature(self, method: bytes, target: bytes, admitted: Admit, wall: float) -> Header | None:
        """Sign what goes to the origin."""
        return self._policy.gate.signature(method, target, admitted, wall)

    @property
    def settings(self) -> GatewaySettings:
        """The policy in force, as it was written."""
        return self._policy.gate.settings

    def contacts(self) -> list[Contact]:
        """Give how those answer whom the policy in force needs."""
        policy = self._policy
        found = [source.contact for source in policy.sources]
        if isinstance(policy.counters.central, Leases):
            found.append(policy.counters.central.contact)
        if policy.remote is not None:
            found.append(policy.remote.contact)
        if self._ring is not None and self.settings.auth.keys is not None:
            found.append(self._ring.contact)
        return found

    async def start(self) -> None:
        """Get what is needed and keep it fresh.

        What cannot be had now is tried again; until then those who need it are answered 503.
        """
        await self._fetched(self._policy)
        self._keep()

    async def swap(self, settings: GatewaySettings) -> None:
        """Put another policy in force. What it needs is fetched first; counts go on where they were.

        Raises `ConfigError`, and leaves everything as it was, when it cannot be built.
        """
        old = self._policy
        new = self._build(settings, old)
        await self._fetched(new)
        self._policy = new
        self._keep()
        if new.counters is not old.counters:
            await old.counters.close()

    async def close(self) -> None:
        """End what runs in the background and let go of everything."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._policy.counters.close()
        await self._outside.close()
        if self._ring is not None:
            await self._ring.close()

    # --- what is kept fresh -------------------------------------------------------------------------------------------

    async def _fetched(self, policy: Policy) -> None:
        """Get the keys that were never asked for."""
        if self._ring is not None and policy.gate.settings.auth.keys and not self._ring.known:
            await self._ring.look()
        await asyncio.gather(*(source.fetch() for source in policy.sources if not source.fetches))

    def _keep(self) -> None:
        """Keep fresh what the policy in force needs, and nothing else."""
        wanted: dict[int, Callable[[], Coroutine[Any, Any, None]]] = {}
        for source in self._policy.sources:
            source.listeners = [self._policy.auth.keys_changed]
            wanted[id(source)] = source.run
        if self._ring is not None and self.settings.auth.keys is not None:
            wanted[id(self._ring)] = self._ring.run
        central, remote = self._policy.counters.central, self._policy.remote
        if isinstance(central, Leases):
            wanted[id(central)] = partial(self._look_at, central)
        if remote is not None:
            wanted[id(remote)] = partial(self._look_at, remote)
        for name in self._tasks.keys() - wanted.keys():
            self._tasks.pop(name).cancel()
        for name in wanted.keys() - self._tasks.keys():
            self._tasks[name] = asyncio.ensure_future(wanted[name]())

    async def _look_at(self, one: Leases | Remote) -> None:
        """Have it asked when nobody else has for a while: a store always, a service only while it did not answer."""
        while True:
            await self._around.clock.sleep(LOOK_EVERY)
            idle = one.contact.older(LOOK_EVERY)
            if idle and (isinstance(one, Leases) or one.contact.well is False):
                await one.look()

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self, settings: GatewaySettings, old: Policy | None) -> Policy:
        """Make a policy. Of the old one is kept what is the same in both."""
        if settings.auth.keys is not None and self._ring is None:
            raise ConfigError(
                "API keys are kept in a journal, and there is none", hint="remove `keys` from gateway.auth"
            )
        sources: list[FetchedKeys] = []
        issuers = [Issuer(one, self._keys(one, sources, old)) for one in settings.auth.tokens]
        remote = self._remote(settings.auth.remote, old)
        auth = self._authenticator(settings.auth, issuers, remote)
        for source in sources:
            source.listeners.append(auth.keys_changed)
        kept = old is not None and old.counters.settings == settings.limits
        counters = old.counters if old is not None and kept else self._counters(settings.limits)
        gate = Gate(settings, auth, counters.host, counters.central, self._around.clock)
        return Policy(gate, auth, counters, sources, remote)

    def _authenticator(
        self, settings: AuthSettings, issuers: list[Issuer], remote: Remote | None
    ) -> Authenticator:
        return Authenticator(
            settings,
            Tokens(issuers) if issuers else None,
            self._ring if settings.keys else None,
            remote,
            Certificates(settings.certificates) if settings.certificates else None,
        )

    def _keys(
        self, issuer: IssuerSettings, used: list[FetchedKeys], old: Policy | None
    ) -> FixedKeys | FetchedKeys:
        if issuer.keys:
            return FixedKeys(issuer)
        for source in old.sources if old else ():
            if source.settings == issuer:
                used.append(source)
                return source
        used.append(FetchedKeys(issuer, self._outside, self._around.clock))
        return used[-1]

    def _remote(self, settings: RemoteSettings | None, old: Policy | None) -> Remote | None:
        if settings is None:
            return None
        if old is not None and old.remote is not None and old.remote.settings == settings:
            return old.remote
        return Remote(settings, self._outside, self._around.clock)

    def _shared(self, settings: StoreSettings) -> SharedLimiter:
        path = self._around.directory / f"limits-{settings.most}"
        try:
            return SharedLimiter(path, settings.most)
        except OSError as fault:
            raise ConfigError(
                f"{path}: limits cannot be counted there: {fault.strerror}",
                hint="make room for it, or correct state_dir",
            ) from None

    def _counters(self, settings: StoreSettings) -> Counters:
        kind = settings.kind
        several = self._around.processes > 1
        host: LocalLimiter
        if kind == "shared" or (several and kind != "memory"):
            host = self._shared(settings)
        else:
            host = MemoryLimiter(settings.most)
        if settings.url is None or kind not in ("auto", "redis"):
            return Counters(settings, host, host)
        redis = RedisCentral(settings.url, settings.timeout)
        central = Leases(
            redis, self._around.clock, host,
            when_down=settings.on_store_down, largest=settings.lease, most=settings.most,
            place=_place(settings.url.reveal()),
        )  # fmt: skip
        return Counters(settings, host, central, redis)


def _place(url: str) -> str:
    """Give a Redis' address without what would let its reader in."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
