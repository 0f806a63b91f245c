"""What the checks' tests ask with, and whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.places import ask, authority, place, say

__all__ = ["ask", "authority", "place", "say"]

# The two loops differ in when they begin to read and in how they tell of a broken connection.
ON_BOTH_LOOPS = {"test_dial.py", "test_http.py", "test_command.py"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in ON_BOTH_LOOPS:
        loops["uvloop"] = uvloop.new_event_loop
    return loops
