"""Opens the policy for the process that serves it, and keeps it while one configuration follows another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mainstay.edge.gateway.gateway import Around, Gateway
from mainstay.edge.gateway.settings import GatewaySettings


class Standing:
    """The policy of one process. Counts, keys and tokens that are known outlive a change of configuration."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None
        self._holders = 0

    @asynccontextmanager
    async def hold(self, settings: GatewaySettings, around: Around) -> AsyncIterator[Gateway]:
        """Have the policy of `settings` in force; it is closed when nobody holds it any more.

        While somebody does, the policy is swapped, and what is `around` stays as it was first. Raises `ConfigError` and
        leaves the old one in force when the new one cannot be built.
        """
        gateway = self._gateway
        if gateway is None:
            gateway = Gateway(settings, around)
            self._gateway = gateway
            await gateway.start()
        elif gateway.settings != settings:
            await gateway.swap(settings)
        self._holders += 1
        try:
            yield gateway
        finally:
            self._holders -= 1
            if not self._holders:
                self._gateway = None
                await gateway.close()
