"""Holes of Python packages: a server that speaks as OSV does, and an environment on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mainstay.core.errors import MainstayError
from mainstay.upkeep.patches import python
from mainstay.upkeep.patches.weakness import Level

# As OSV documents its records: one hole has often two of them, which name each other.
GHSA = {
    "id": "GHSA-aaaa",
    "aliases": ["CVE-2024-1"],
    "summary": "Requests leak headers",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Requests"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.32.0"}]}],
        }
    ],
}
PYSEC = {**GHSA, "id": "PYSEC-2024-1", "aliases": ["CVE-2024-1", "GHSA-aaaa"], "summary": ""}
GONE = {"id": "PYSEC-2020-9", "withdrawn": "2021-01-01T00:00:00Z"}
RECORDS = {each["id"]: each for each in (GHSA, PYSEC, GONE)}
KNOWN = {("requests", "2.31.0"): list(RECORDS)}


class Osv:
    """Answers as api.osv.dev does."""

    def __init__(self) -> None:
        self.status = 200
        self.short = False
        self.asked: list[dict[str, Any]] = []

    async def batch(self, request: web.Request) -> web.Response:
        queries = (await request.json())["queries"]
        self.asked += queries
        results: list[dict[str, Any]] = []
        for query in queries:
            assert query["package"]["ecosystem"] == "PyPI"
            ids = KNOWN.get((query["package"]["name"], query["version"]), [])
            results.append({"vulns": [{"id": each, "modified": "x"} for each in ids]} if ids else {})
        return web.json_response({"results": results[:-1] if self.short else results}, status=self.status)

    async def one(self, request: web.Request) -> web.Response:
        return web.json_response(RECORDS[request.match_info["id"]])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.add_routes([web.post("/v1/querybatch", self.batch), web.get("/v1/vulns/{id}", self.one)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        try:
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with two packages."""
    for name, version in (("Requests", "2.31.0"), ("zope.interface", "6.0")):
        home = tmp_path / f"lib/python3.10/site-packages/{name}-{version}.dist-info"
        home.mkdir(parents=True)
        (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return tmp_path


def test_what_is_installed_is_read_from_the_disk(environment: Path, tmp_path: Path) -> None:
    assert python.installed(environment) == {"requests": "2.31.0", "zope-interface": "6.0"}
    assert python.version_of(environment) == "3.10"
    with pytest.raises(MainstayError, match="is no Python environment"):
        python.installed(tmp_path / "lib")


async def test_one_hole_is_told_once_with_its_remedy(environment: Path) -> None:
    osv = Osv()
    async with osv.serving() as url:
        [found] = await python.holes(url, "shop", python.installed(environment))
    assert len(osv.asked) == 2
    assert (found.level, found.fix) == (Level.WARNING, "install requests 2.32.0")
    assert found.subject == "requests 2.31.0 in shop, CVE-2024-1"
    assert found.detail == "Requests leak headers"


@pytest.mark.parametrize("how", ["error", "short", "away"])
async def test_no_answer_or_half_of_one_is_a_fault_and_never_clean(how: str) -> None:
    osv = Osv()
    osv.status, osv.short = (500, False) if how == "error" else (200, True)
    async with osv.serving() as url:
        address = "http://127.0.0.1:1" if how == "away" else url
        with pytest.raises(MainstayError, match="did not answer"):
            await python.holes(address, "shop", {"requests": "2.31.0"})
