"""Lists of addresses that requests are let in from."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


def _network(text: Any) -> Any:
    if isinstance(text, IPv4Network | IPv6Network):
        return text
    try:
        if not isinstance(text, str):
            raise ValueError(text)
        return ip_network(text)
    except ValueError as fault:
        if "has host bits set" in str(fault):
            raise ValueError(
                f"{text} names one address of a network; write {ip_network(text, False)}"
            ) from None
        raise ValueError(f"{text!r} is no network; write it like 192.0.2.0/24 or 2001:db8::1") from None


Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_network),
    PlainSerializer(str),
    WithJsonSchema(
        {"type": "string", "description": "an address or a network", "examples": ["192.0.2.0/24"]}
    ),
]
"""An address or a network, written `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`."""


def among(peer: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether an address is in one of the networks; an IPv4 address inside IPv6 counts as the IPv4 address."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)
