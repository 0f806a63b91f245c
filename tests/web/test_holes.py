"""What a look at security updates found, on the page of its job and of its run."""

from __future__ import annotations

from typing import Any

import pytest

from mainstay.core.ids import new_id
from mainstay.core.run import Run, RunState
from mainstay.store.base import Tx
from tests.web.booted import Booted, Client
from tests.web.markup import Markup
from tests.web.seed_runs import play_run

HOLE = {
    "kind": "package",
    "subject": "openssl",
    "detail": "3.0.15 is installed, 3.0.16 mends it",
    "level": "critical",
    "fix": "apt-get install openssl",
}


async def look(site: Booted, found: list[dict[str, Any]]) -> str:
    """Let a job of the company have found something; give the run's identifier."""
    now = site.clock.now()

    def write(tx: Tx) -> str:
        run = Run(new_id(now), "scan", f"k:{now}", RunState.QUEUED, now, created_at=now)
        play_run(tx, run, "done", now, [], [], [], outcome_data={"clean": not found, "weaknesses": found})
        return run.id

    return await site.store.write(write)


@pytest.mark.parametrize("hostile", [False, True])
async def test_holes_are_shown_with_their_remedy(site: Booted, client: Client, hostile: bool) -> None:
    bad = "<script>alert(1)</script>" if hostile else ""
    run = await look(site, [{**HOLE, "subject": f"openssl{bad}", "since": site.clock.now() - 9 * 86400}])
    for path in ("/jobs/scan", f"/runs/{run}"):
        page = Markup((await client.get(path)).text)
        assert page.faults == []
        assert "Critical" in page.text
        assert f"openssl{bad}" in page.text
        assert "3.0.15 is installed, 3.0.16 mends it" in page.text
        assert "apt-get install openssl" in page.text
        assert "weaknesses" not in page.text


async def test_nothing_found_is_said_and_other_jobs_have_no_such_part(site: Booted, client: Client) -> None:
    await look(site, [])
    assert "Nothing is open" in Markup((await client.get("/jobs/scan")).text).text
    assert "Remedy" not in Markup((await client.get("/jobs/cleanup_temp_files")).text).text
