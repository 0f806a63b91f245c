"""Puts the gateway of an edge process together: the policy that decides, the origins that answer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from mainstay.app.listeners import Opening, Surroundings
from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.decide import Decider
from mainstay.edge.gateway.gateway import Around
from mainstay.edge.gateway.open import Standing as Policies
from mainstay.edge.http.exchange import Handler
from mainstay.edge.http.meter import DIRECTORY
from mainstay.edge.proxy.gateway import Gateway
from mainstay.edge.proxy.open import Standing as Origins
from mainstay.store.open import open_store


def gateway() -> Opening:
    """Give the opening of one process's gateway: counts and connections outlive a change of the configuration."""
    policies, origins = Policies(), Origins()

    @asynccontextmanager
    async def opening(around: Surroundings) -> AsyncIterator[Handler]:
        config, clock = around.config, around.clock
        settings = config.gateway
        if settings is None:
            raise ConfigError("there is no `gateway:`", hint="add one, or leave the gateway out")
        directory = config.state_dir / DIRECTORY
        directory.mkdir(parents=True, exist_ok=True)
        # The policy is swapped first; what could fail after that is tried before.
        origins.check(settings.routes)
        # Opened only for API keys; those may be turned on by a later configuration.
        connect = partial(open_store, config.journal_url, clock)
        policy_around = Around(clock, directory, config.edge.processes, connect)
        async with AsyncExitStack() as stack:
            with origins.expecting(settings.routes):
                policy = await stack.enter_async_context(policies.hold(settings, policy_around))
            holding = origins.hold(settings.routes, clock, around.meter, directory)
            carrying = await stack.enter_async_context(holding)
            handler = Gateway(policy, carrying.plane, clock, carrying.counts.request)
            if settings.decide is None:
                yield handler
            else:
                yield Decider(settings.decide, policy, clock, handler.new_id).before(handler)

    return opening
