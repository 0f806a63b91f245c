"""Each vector of the policy gets the verdict that it must get."""

from __future__ import annotations

import pytest

from mainstay.edge.gateway.auth import Authenticator
from mainstay.edge.gateway.certificates import Certificates
from mainstay.edge.gateway.gate import Gate
from mainstay.edge.gateway.hygiene import clean
from mainstay.edge.gateway.keyring import KeyRing
from mainstay.edge.gateway.limits import MemoryLimiter
from mainstay.edge.gateway.policy import Admit, Ask, Deny
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.gateway.tokens.bearer import Tokens
from mainstay.edge.gateway.tokens.issuer import Issuer
from mainstay.edge.gateway.tokens.sources import FixedKeys
from mainstay.ports.clock import FakeClock
from tests.edge.gateway.conftest import WALL, Held, Read
from tests.edge.gateway.minting import Mint
from tests.edge.gateway.vectors import Vector, load
from tests.edge.problems import problem

POLICY, VECTORS = load()


@pytest.fixture(scope="module")
def settings(read: Read) -> GatewaySettings:
    return read(POLICY)


def gate(settings: GatewaySettings, ring: KeyRing) -> Gate:
    tokens = Tokens([Issuer(one, FixedKeys(one)) for one in settings.auth.tokens])
    limiter = MemoryLimiter()
    shown = Certificates(settings.auth.certificates) if settings.auth.certificates else None
    auth = Authenticator(settings.auth, tokens, ring, None, shown)
    return Gate(settings, auth, limiter, limiter, FakeClock(WALL))


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len({vector.name for vector in VECTORS}) == len(VECTORS) >= 120


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_the_verdict(vector: Vector, settings: GatewaySettings, held: Held, mint: Mint) -> None:
    ring, made = held
    asked = gate(settings, ring)
    sent = vector.sent(mint, WALL, made)
    for _ in range(vector.times):
        ask = Ask(
            vector.method.encode(), vector.host.encode(), vector.path.encode(), sent, vector.peer,
            request_id=b"r1",
        )  # fmt: skip
        found = asked.decide(ask, 1000.0, WALL)
    assert isinstance(found, Admit | Deny)
    if isinstance(found, Admit):
        assert vector.answer == 200
        onward = dict(clean(sent, found.drop)) | dict(found.headers_to_origin)
        _compare(vector.origin, onward)
        assert onward[b"x-request-id"] == b"r1"
        back = dict(found.response_headers)
    else:
        assert (found.status, vector.why or found.why) == (vector.answer, found.why)
        back = dict(found.headers)
        if found.status >= 400:
            assert problem(found.status, back, found.body)["error"] == found.why
    _compare(vector.back, back)
    assert back[b"x-request-id"] == b"r1"
    assert b"ratelimit" in back or found.subject is None


def _compare(expected: dict[str, str | None], found: dict[bytes, bytes]) -> None:
    for name, value in expected.items():
        given = found.get(name.encode())
        if value == "*":
            assert given
        else:
            assert given == (None if value is None else value.encode()), name
