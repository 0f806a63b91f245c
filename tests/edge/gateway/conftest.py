"""Keys, and a gateway's policy with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mainstay.edge.gateway.settings import GatewaySettings
from tests.edge.gateway.minting import SECRET, Mint
from tests.journals import journal

__all__ = ["journal"]

WALL = 1_800_000_000.0
Read = Callable[[dict[str, Any]], GatewaySettings]


@pytest.fixture(scope="session")
def mint(tmp_path_factory: pytest.TempPathFactory) -> Mint:
    return Mint(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def read(mint: Mint) -> Read:
    """Read a `gateway:` section, as the loader does."""
    context = {"resolve": lambda name: SECRET, "directory": mint.directory}
    return lambda data: GatewaySettings.model_validate(data, context=context)
