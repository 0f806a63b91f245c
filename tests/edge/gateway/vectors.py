"""Reads the vectors of the policy, and makes requests of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.edge.gateway.minting import Mint

FILE = Path(__file__).parent.parent / "vectors" / "policy.yaml"


@dataclass(frozen=True)
class Vector:
    """One request and what is to come of it."""

    name: str
    method: str
    path: str
    answer: int
    host: str = "api.example.com"
    peer: str = "192.0.2.1"
    headers: list[tuple[str, str]] = field(default_factory=list)
    token: dict[str, Any] | None = None
    scheme: str = "Bearer"
    bearer: str | None = None
    key: str | None = None
    key_as: str = "header"
    times: int = 1
    why: str | None = None
    origin: dict[str, str | None] = field(default_factory=dict)
    back: dict[str, str | None] = field(default_factory=dict)

    def sent(self, mint: Mint, wall: float, keys: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """Give the headers to send, credentials included."""
        found = list(self.headers)
        bearer = mint.token(wall, **self.token) if self.token is not None else self.bearer
        if self.key and self.key_as == "bearer":
            bearer = keys[self.key]
        elif self.key:
            found.append(("x-api-key", keys[self.key]))
        if bearer is not None:
            found.append(("authorization", f"{self.scheme} {bearer}"))
        return [(name.encode(), value.encode()) for name, value in found]


@cache
def load() -> tuple[dict[str, Any], tuple[Vector, ...]]:
    """Give the policy and its vectors."""
    data = YAML(typ="safe").load(FILE.read_text())
    return data["policy"], tuple(_vector(dict(one)) for one in data["vectors"])


def _vector(data: dict[str, Any]) -> Vector:
    method, path = data.pop("ask")
    headers = [pair for one in data.pop("headers", []) for pair in one.items()]
    return Vector(method=method, path=path, headers=headers, key_as=data.pop("as", "header"), **data)
