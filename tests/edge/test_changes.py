"""The gateway as people run it while its policy and its issuer's keys change: nobody is turned away for that.

`MAINSTAY_SWAPS=100` (a fifth as many rotations) and `MAINSTAY_RATE=2000` for the long run.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from jwt.algorithms import OKPAlgorithm

from tests.edge.traffic import Crowd, Request, listening
from tests.helpers import aeventually, command, installed_environment
from tests.servers.process import Engine, accepts, free_port

SWAPS = int(os.environ.get("MAINSTAY_SWAPS", "5"))
RATE = float(os.environ.get("MAINSTAY_RATE", "300"))
USERS = 50


@dataclass
class Issuer:
    """Publishes its keys over HTTP and signs with the newest. Every third key has no `kid`."""

    keys: list[tuple[str | None, ed25519.Ed25519PrivateKey]] = field(default_factory=list)
    tokens: list[bytes] = field(default_factory=list, repr=False)
    rotations: int = 0

    def rotate(self) -> None:
        """Publish another key beside the last one, then sign with it, both at once."""
        kid = None if len(self.keys) % 3 == 1 else f"key-{self.rotations}"
        self.rotations += 1
        key = ed25519.Ed25519PrivateKey.generate()
        self.keys = [*self.keys[-1:], (kid, key)]
        self.tokens = [self._token(key, kid, f"user-{number}") for number in range(USERS)]

    @staticmethod
    def _token(key: ed25519.Ed25519PrivateKey, kid: str | None, subject: str) -> bytes:
        claims = {"sub": subject, "aud": "api", "exp": int(time.time()) + 3600, "iat": int(time.time())}
        return jwt.encode(claims, key, "EdDSA", {"kid": kid} if kid else None).encode()

    def published(self, head: bytes, body: bytes) -> bytes:
        told = json.dumps({"keys": [self._jwk(kid, key) for kid, key in self.keys]}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told)

    @staticmethod
    def _jwk(kid: str | None, key: ed25519.Ed25519PrivateKey) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(key.public_key()))
        made.pop("key_ops", None)
        return made | ({"kid": kid} if kid else {})


class Gateway:
    """One edge process, and its file."""

    def __init__(self, directory: Path, origin: int, jwks: int) -> None:
        self.port, self.origin, self.jwks = free_port(), origin, jwks
        self.file = directory / "mainstay.yaml"
        self.write(0)
        argv = command("up", "--only", "edge", "--config", str(self.file))
        self.engine = Engine(argv, directory / "log", env=installed_environment(), cwd=directory)

    def write(self, number: int) -> None:
        """Another policy each time; requests are fine under every one."""
        issuer = {"jwks": f"http://127.0.0.1:{self.jwks}/", "audience": ["api"], "unknown_every": "100ms"}
        routes = [{"path": "/", "origin": f"http://127.0.0.1:{self.origin}", "name": f"all-{number}"}]
        gateway = {
            "routes": routes
            + ([{"path": "/other", "origin": f"http://127.0.0.1:{self.origin}"}] * (number % 2)),
            "plans": {"free": f"{1_000_000 + number}/s"},
            "per_address": "unlimited",
            "bad_credentials": "unlimited",
            "auth": {"tokens": [issuer]},
        }
        edge = {"gateway": f"127.0.0.1:{self.port}", "access_log": True}
        self.file.write_text(
            json.dumps({"name": "changes", "state_dir": "state", "edge": edge, "gateway": gateway})
        )

    def swap(self, number: int) -> None:
        self.write(number)
        os.kill(self.engine.pid, signal.SIGHUP)


@pytest.fixture
async def issuer() -> Issuer:
    made = Issuer()
    made.rotate()
    return made


@pytest.fixture
async def gateway(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Gateway]:
    async with listening() as origin, listening(issuer.published) as keys:
        made = Gateway(tmp_path, origin, keys)
        try:
            await aeventually(lambda: accepts(made.port), 30)
            yield made
        finally:
            made.engine.stop()


@dataclass
class Users:
    """Good users, each with the newest token of theirs, and what they were told last."""

    issuer: Issuer
    turns: count[int] = field(default_factory=count)
    policy: bytes = b""
    token: object = None
    refusals: list[bytes] = field(default_factory=list)

    def ask(self) -> Request:
        token = self.issuer.tokens[next(self.turns) % USERS]
        return Request(token, b"GET /thing HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer %b\r\n\r\n" % token)

    def told(self, request: Request, status: int, head: bytes, body: bytes) -> None:
        if status != 200:
            self.refusals.append(head + body)
        self.policy = head
        self.token = request.name

    def are_under(self, number: int) -> bool:
        """Whether somebody with a newest token was answered under this policy."""
        return b"%d" % (1_000_000 + number) in self.policy and self.token in self.issuer.tokens


async def test_no_swap_and_no_rotation_turns_anybody_away(gateway: Gateway, issuer: Issuer) -> None:
    users, began = Users(issuer), time.monotonic()
    async with Crowd(gateway.port, users.ask, users.told, rate=RATE, connections=64) as crowd:
        for number in range(1, SWAPS + 1):
            if number % 5 == 0:
                issuer.rotate()
            gateway.swap(number)
            await aeventually(partial(users.are_under, number))
            enough = crowd.sent + RATE // 8
            await aeventually(lambda enough=enough: crowd.sent > enough)  # type: ignore[misc]
        rate = crowd.sent / (time.monotonic() - began)
        await crowd.settle()
    print(f"{SWAPS} swaps, {issuer.rotations - 1} rotations, {crowd.sent} requests at {rate:.0f}/s")
    assert issuer.rotations > 1
    assert (users.refusals, crowd.broken) == ([], 0)
    assert crowd.statuses == {200: crowd.sent}
