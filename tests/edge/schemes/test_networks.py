"""Lists of networks: who is in, in any spelling of an address."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mainstay.edge.schemes.networks import Network, among

LIST: TypeAdapter[list[Any]] = TypeAdapter(list[Network])


@pytest.mark.parametrize(
    ("peer", "inside"),
    [
        ("192.0.2.7", True),
        ("192.0.3.7", False),
        ("::ffff:192.0.2.7", True),
        ("::ffff:192.0.3.7", False),
        ("2001:db8::1", True),
        ("2001:DB8:0::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", True),
        ("198.51.100.1", True),
        ("198.51.100.2", False),
        ("", False),
        ("unix:", False),
        ("192.0.2.07", False),
    ],
)
def test_addresses(peer: str, inside: bool) -> None:
    networks = LIST.validate_python(["192.0.2.0/24", "2001:db8::/32", "fe80::/10", "198.51.100.1"])
    assert among(peer, networks) is inside


@pytest.mark.parametrize(
    ("text", "said"),
    [("192.0.2.7/24", "write 192.0.2.0/24"), ("example.com", "is no network"), (7, "is no network")],
)
def test_what_is_no_network(text: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LIST.validate_python([text])


def test_nobody_is_among_none() -> None:
    assert among("192.0.2.7", []) is False
    assert LIST.dump_python(LIST.validate_python(["192.0.2.0/24"])) == ["192.0.2.0/24"]
