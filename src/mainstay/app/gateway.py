"""Puts the gateway of an edge process together: the policy that decides, the origins that answer."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from mainstay.app.listeners import Surroundings
from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.decide import Decider
from mainstay.edge.gateway.gateway import Around
from mainstay.edge.gateway.gateway import Gateway as Policy
from mainstay.edge.gateway.naming import Names
from mainstay.edge.gateway.open import Standing as Policies
from mainstay.edge.gateway.settings import DecideSettings, GatewaySettings
from mainstay.edge.http.exchange import Handler
from mainstay.edge.http.meter import DIRECTORY
from mainstay.edge.proxy.gateway import Gateway
from mainstay.edge.proxy.open import Standing as Origins
from mainstay.store.open import open_store


class House:
    """One process's gateway. Policy, counts and connections outlive a change of the configuration."""

    def __init__(self) -> None:
        self._policies, self._origins = Policies(), Origins()
        self._names = Names()

    @asynccontextmanager
    async def carry(self, around: Surroundings) -> AsyncIterator[Handler]:
        """Open what carries requests to origins."""
        settings, directory = _settings(around), _directory(around)
        # The policy is swapped first; what could fail after that is tried before.
        self._origins.check(settings.routes)
        async with AsyncExitStack() as stack:
            with self._origins.expecting(settings.routes):
                policy = await stack.enter_async_context(self._policy(around))
            holding = self._origins.hold(
                settings.routes, around.clock, around.meter, directory, policy.contacts
            )
            carrying = await stack.enter_async_context(holding)
            yield Gateway(policy, carrying.plane, around.clock, carrying.counts.request)

    @asynccontextmanager
    async def decide(self, around: Surroundings) -> AsyncIterator[Handler]:
        """Open what answers the questions of other proxies."""
        asked = _settings(around).decide or DecideSettings()
        async with self._policy(around) as policy:
            yield Decider(asked, policy, around.clock, self._names.new)

    def _policy(self, around: Surroundings) -> AbstractAsyncContextManager[Policy]:
        config, clock = around.config, around.clock
        # Opened only for API keys; those may be turned on by a later configuration.
        connect = partial(open_store, config.journal_url, clock)
        return self._policies.hold(
            _settings(around), Around(clock, _directory(around), config.edge.processes, connect)
        )


def _settings(around: Surroundings) -> GatewaySettings:
    if around.config.gateway is None:
        raise ConfigError("there is no `gateway:`", hint="add one, or leave the gateway out")
    return around.config.gateway


def _directory(around: Surroundings) -> Path:
    directory = around.config.state_dir / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    return directory
