"""Keys, and a gateway's policy with a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mainstay.edge.gateway.export import Site
from mainstay.edge.gateway.keyring import KeyRing
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.ports.clock import FakeClock
from mainstay.store import keys
from mainstay.store.base import Tx
from mainstay.store.open import open_store
from tests.edge.gateway.fronts import Front
from tests.edge.gateway.minting import SECRET, Mint
from tests.journals import journal

__all__ = ["journal"]

WALL = 1_800_000_000.0
Read = Callable[[dict[str, Any]], GatewaySettings]
Held = tuple[KeyRing, dict[str, str]]


@pytest.fixture(scope="session")
def mint(tmp_path_factory: pytest.TempPathFactory) -> Mint:
    return Mint(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def read(mint: Mint) -> Read:
    """Read a `gateway:` section, as the loader does."""
    context = {"resolve": lambda name: SECRET, "directory": mint.directory}
    return lambda data: GatewaySettings.model_validate(data, context=context)


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """API keys in a real journal, and the ring that knows them."""
    made: dict[str, str] = {}
    clock = FakeClock(WALL)

    def unit(tx: Tx) -> None:
        def one(label: str, plan: str, expires_at: float | None = None) -> str:
            text, key = keys.create(
                tx, "shop-1", plan=plan, note="", who="test", now=WALL - 99, expires_at=expires_at
            )
            made[label] = text
            return key.id

        one("good", "paid", WALL + 99)
        one("plain", "")
        one("expired", "paid", WALL - 1)
        keys.revoke(tx, one("revoked", "paid"), WALL)

    async def fill() -> KeyRing:
        path = tmp_path_factory.mktemp("journal") / "journal.db"
        ring = KeyRing(partial(open_store, f"sqlite:///{path}", clock), clock)
        store = await open_store(f"sqlite:///{path}", clock)
        await store.write(unit)
        await store.close()
        await ring.load()
        await ring.close()
        return ring

    return asyncio.run(fill()), made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Start a proxy with what is exported for it."""
    with ExitStack() as stack:

        def one(kind: str, make: Callable[[str], Site]) -> Front:
            front = Front(kind, make, tmp_path)
            stack.callback(front.engine.stop)
            return front

        yield one
