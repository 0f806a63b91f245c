"""Who a request really comes from, when proxies that are trusted stand before us."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from mainstay.edge.http.exchange import Head

SCOPE = re.compile(r"[A-Za-z0-9._~-]{1,32}")
"""The interface behind an address (`fe80::1%eth0`); Python takes any text for one, quotes and all."""


class Trust:
    """Addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(each, strict=False) for each in networks
        ]

    def covers(self, address: str) -> bool:
        """Whether somebody at this address is believed."""
        if not self._networks:
            return False
        found = _parse(address)
        return found is not None and any(found in network for network in self._networks)

    def see_through(self, head: Head, peer: str, secure: bool) -> tuple[str, bool]:
        """Give the client's address and whether it came by TLS; `peer` is believed.

        The list is read from its end, where our own proxies wrote, to the first address that is not one of them: what
        stands before that anybody may have made up. What is no address ends it.
        """
        fields = head.block.fields
        if b"x-forwarded-for" not in fields and b"x-forwarded-proto" not in fields:
            return peer, secure
        hops = head.all(b"x-forwarded-for")
        for hop in reversed(b",".join(hops).split(b",")) if hops else ():
            address = _parse(hop.strip().decode("latin-1"))
            if address is None:
                break
            peer = str(address)
            if not self.covers(peer):
                break
        scheme = head.all(b"x-forwarded-proto")
        if scheme:
            secure = scheme[-1].rpartition(b",")[2].strip().lower() == b"https"
        return peer, secure


@lru_cache(4096)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.scope_id is not None and not SCOPE.fullmatch(found.scope_id):
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
