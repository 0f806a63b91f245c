"""Puts the gateway of an edge process together: the policy that decides, the origins that answer."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from mainstay.app.listeners import Surroundings
from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.decide import Decider
from mainstay.edge.gateway.envoy.shelf import DIRECTORY as DIRECTORY_OF_ENVOY
from mainstay.edge.gateway.envoy.shelf import knows
from mainstay.edge.gateway.gateway import Around
from mainstay.edge.gateway.gateway import Gateway as Policy
from mainstay.edge.gateway.naming import Names
from mainstay.edge.gateway.open import Standing as Policies
from mainstay.edge.gateway.settings import DecideSettings, GatewaySettings
from mainstay.edge.http.exchange import Handler
from mainstay.edge.http.meter import DIRECTORY
from mainstay.edge.proxy.counts import Counts
from mainstay.edge.proxy.gateway import Gateway
from mainstay.edge.proxy.open import Standing as Origins
from mainstay.store.open import open_store

logger = logging.getLogger(__name__)


class House:
    """One process's gateway. Policy, counts and connections outlive a change of the configuration."""

    def __init__(self) -> None:
        self._policies, self._origins = Policies(), Origins()
        self._names = Names()
        self._serves = False

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
        settings = _settings(around)
        if settings.engine == "envoy":
            await self._followed(settings, around)
        async with AsyncExitStack() as stack:
            policy = await stack.enter_async_context(self._policy(around))
            counts = Counts(around.meter)
            if settings.engine == "envoy":
                # It carries nothing, but still says how those are whom the policy needs.
                holding = self._origins.hold(
                    [], around.clock, around.meter, _directory(around), policy.contacts
                )
                counts = (await stack.enter_async_context(holding)).counts
            asked = settings.asked or DecideSettings()
            yield Decider(asked, policy, around.clock, self._names.new, counts.request)

    async def _followed(self, settings: GatewaySettings, around: Surroundings) -> None:
        """Wait until Envoy knows the ways of a new policy: it would have to refuse what it does not know."""
        first, self._serves = not self._serves, True
        directory = around.config.state_dir / DIRECTORY_OF_ENVOY
        if not first and not await knows(directory, {route.way for route in settings.routes}, around.clock):
            logger.warning(
                "Envoy has not taken the new routes over yet; until it has, their requests get 503"
            )

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
