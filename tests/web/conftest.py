"""The dashboard with a past, one of its own for every test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.booted import Booted, Client, Past, booted, make_past
from tests.web.company import plan


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """A seeded journal."""
    return asyncio.run(make_past(tmp_path_factory.mktemp("past")))


@pytest.fixture(scope="session")
def hostile_past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """A seeded journal in which every text tries to break out of its page."""
    return asyncio.run(make_past(tmp_path_factory.mktemp("hostile"), hostile=True))


@pytest.fixture
async def site(tmp_path: Path, past: Past) -> AsyncIterator[Booted]:
    """The dashboard of the company."""
    async with booted(tmp_path, past=past) as made:
        yield made


@pytest.fixture
async def hostile_site(tmp_path: Path, hostile_past: Past) -> AsyncIterator[Booted]:
    """The same, hostile."""
    async with booted(tmp_path, past=hostile_past, plan=plan(hostile=True)) as made:
        yield made


@pytest.fixture
async def client(site: Booted) -> AsyncIterator[Client]:
    """Somebody who is logged in, without scripts."""
    async with site.client() as made:
        yield made
