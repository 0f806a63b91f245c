"""What may be written under `gateway:`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.edge.gateway.rates import limit, parse_rate
from mainstay.edge.gateway.settings import GatewaySettings

ROUTE = {"routes": [{"path": "/"}]}


def gateway(**options: Any) -> GatewaySettings:
    return GatewaySettings.model_validate(ROUTE | options)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("100/min", (100, 60)),
        ("10/s", (10, 1)),
        ("5000/day", (5000, 86400)),
        ("30/10s", (30, 10)),
        ("1/H", (1, 3600)),
        ("unlimited", None),
    ],
)
def test_a_rate_is_read(text: str, meaning: tuple[int, int] | None) -> None:
    assert parse_rate(text) == meaning


@pytest.mark.parametrize("text", ["100", "0/min", "-1/s", "1/0s", "1/fortnight", "1/40d", "", 5, True])
def test_what_is_no_rate_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError):
        gateway(plans={"free": text})


def test_a_burst_is_the_whole_rate_unless_it_is_said() -> None:
    plans = gateway(plans={"free": "100/min", "calm": {"rate": "100/min", "burst": 5}}).plans
    assert (plans["free"].most, plans["calm"].most, limit("unlimited").quota) == (100, 5, 0)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no routes": ({"routes": []}, "at least 1"),
    "a path of nothing": ({"routes": [{"path": "api"}]}, "beginning of a path"),
    "a path with dots": ({"routes": [{"path": "/a/../b"}]}, "beginning of a path"),
    "a path with an escape": ({"routes": [{"path": "/%61"}]}, "beginning of a path"),
    "a host that is a URL": ({"routes": [{"hosts": ["http://x"]}]}, "not the name of a host"),
    "a method in lower case": ({"routes": [{"methods": ["get"]}]}, "pattern"),
    "every site's cookies": (
        {"routes": [{"cors": {"origins": ["*"], "credentials": True}}]},
        "cookies from every site",
    ),
    "a plan that breaks headers": ({"plans": {"a\r\nb": "1/s"}}, "pattern"),
    "Redis without an address": ({"limits": {"kind": "redis"}}, "need its address"),
    "keys from two places": (
        {"auth": {"tokens": [{"jwks": "https://a/", "jwks_file": "b.json"}]}},
        "exactly one place",
    ),
    "keys from nowhere": ({"auth": {"tokens": [{"issuer": "a"}]}}, "exactly one place"),
    "a public key used as a secret": (
        {"auth": {"tokens": [{"jwks": "https://a/", "algorithms": ["HS256"]}]}},
        "cannot be used with HS256",
    ),
    "no secret": ({"auth": {"tokens": [{"keys": [{"algorithm": "HS256"}]}]}}, "shared secret"),
    "no algorithm": ({"auth": {"tokens": [{"keys": [{"algorithm": "none"}]}]}}, "HS256"),
}


@pytest.mark.parametrize(("options", "words"), BROKEN.values(), ids=BROKEN)
def test_what_contradicts_itself_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        gateway(**options)


def test_a_short_secret_is_refused() -> None:
    tokens = [{"keys": [{"algorithm": "HS256", "secret": {"secret": "jwt"}}]}]
    data = ROUTE | {"auth": {"tokens": tokens}}
    with pytest.raises(ValidationError, match="shorter than 32 bytes"):
        GatewaySettings.model_validate(data, context={"resolve": lambda name: "x" * 31})
    GatewaySettings.model_validate(data, context={"resolve": lambda name: "x" * 32})
