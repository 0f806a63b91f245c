"""The same pages from a journal in PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.web.addresses import addresses
from tests.web.booted import Booted, Client, booted
from tests.web.company import plan
from tests.web.markup import Markup
from tests.web.seed import seed

PROGRAMS = (
    "/metrics",
    "/healthz",
    "/api/v1/status",
    "/api/v1/services",
    "/api/v1/incidents",
    "/api/v1/jobs",
    "/api/v1/runs",
    "/api/v1/backups",
    "/api/v1/outbox",
)


async def seen(site: Booted, client: Client) -> dict[str, str]:
    """What every page says, without what differs by its nature: identifiers and moments."""
    found = {}
    for name, path in (await addresses(site)).items():
        page = await client.get(path)
        assert page.status == 200, f"{name}: {page.text[:500]}"
        found[name] = re.sub(r"\d{2}:\d{2}(:\d{2})?|\b\w{26}\b", "#", Markup(page.text).text)
    for path in PROGRAMS:
        assert (await client.get(path)).status == 200, path
    return found


@pytest.mark.slow
async def test_postgresql_tells_what_sqlite_tells(tmp_path: Path, database: str) -> None:
    async with booted(tmp_path / "lite") as lite:
        await seed(lite.store, plan(), lite.clock.now())
        async with lite.client() as client:
            wanted = await seen(lite, client)
    async with booted(tmp_path / "pg", journal=database, now=lite.clock.now()) as site:
        await seed(site.store, plan(), site.clock.now())
        async with site.client() as client:
            found = await seen(site, client)
            queued = await client.submit("/jobs", "/jobs/backup:hr/run")
    assert "Waits" in queued.text
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name] == wanted[name], name
