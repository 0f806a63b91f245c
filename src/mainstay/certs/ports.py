"""What the job of this room is given by the composition root."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mainstay.certs.authority import Advice
from mainstay.certs.pem import Pair
from mainstay.certs.reload import reload
from mainstay.certs.served import Resolve, Sight, look, watch
from mainstay.certs.settings import CertificateSettings, Command, Gateway, Unit
from mainstay.certs.shelf import Shelf
from mainstay.core.errors import MainstayError
from mainstay.ports.clock import Clock
from mainstay.store.base import Store


class Orders(Protocol):
    """Gets certificates; `certbot.Certbot` is one."""

    def issued(self, settings: CertificateSettings) -> Pair | None:
        """Give the last one that was issued, put in place or not."""
        ...

    async def order(self, settings: CertificateSettings, log: Callable[[str], None]) -> Pair:
        """Get a new one. Raises `OrderFailed`."""
        ...


class Words(Protocol):
    """Asks authorities; `authority.Authority` does."""

    async def advice(self, server: str, pair: Pair, ca: Path | None) -> Advice:
        """Ask when to renew. Raises `NoWord`."""
        ...

    async def reach(self, server: str, ca: Path | None) -> None:
        """See whether an authority answers. Raises `NoWord`."""
        ...

    async def revoked(self, pair: Pair) -> str | None:
        """Say why a certificate counts no more, or None. Raises `NoWord`."""
        ...


@dataclass(frozen=True)
class CertPorts:
    """The journal, the clock, certificates by name, who orders and who asks, and how names are resolved.

    Files lie below `home`, a directory of each certificate's own, unless it names another.
    """

    store: Store
    clock: Clock
    certificates: Mapping[str, CertificateSettings]
    home: Path
    orders: Orders
    words: Words
    resolve: Resolve
    reload: Callable[[Unit | Gateway | Command, Clock], Awaitable[None]] = field(default=reload)

    def certificate(self, name: str) -> CertificateSettings:
        """Give a certificate's settings. Raises `MainstayError` when there is none of that name."""
        try:
            return self.certificates[name]
        except KeyError:
            known = ", ".join(self.certificates) or "none"
            raise MainstayError(f"there is no certificate {name!r}", hint=f"known: {known}") from None

    def shelf(self, name: str) -> Shelf:
        """Give the place of its files."""
        settings = self.certificate(name)
        return Shelf(settings.directory or self.home / name, settings.group)

    async def look(self, name: str, wanted: str) -> Sight:
        """Look once at what is served; `wanted` is the fingerprint that should be."""
        return await look(self.certificate(name), wanted, self.resolve)

    async def watch(self, name: str, wanted: str) -> Sight:
        """Look until the right one is served everywhere, or its time is over."""
        return await watch(self.certificate(name), wanted, self.resolve, self.clock)
