"""What a look at databases found, on the page of its job and of its run."""

from __future__ import annotations

from typing import Any

import pytest

from mainstay.core.ids import new_id
from mainstay.core.run import Run, RunState
from mainstay.store.base import Tx
from mainstay.web.shape import curve
from tests.web.booted import Booted, Client
from tests.web.markup import Markup
from tests.web.seed_runs import play_run

WEEK = 7 * 86400.0


def outcome(now: float, subject: str = "public.sale") -> dict[str, Any]:
    """As the job itself gives it."""
    looks = [
        {"at": now - WEEK, "databases": {"shop": {"bytes": 900_000_000, "empty_bytes": 400_000_000}}},
        {"at": now, "databases": {"shop": {"bytes": 600_000_000, "empty_bytes": 100_000_000}}},
    ]
    return {
        "in_time": True,
        "ailments": [
            {
                "kind": "missing_index", "database": "shop", "subject": subject, "level": "warning",
                "words": "the planner's cost falls from 900 to 8", "fix": "CREATE INDEX CONCURRENTLY", "facts": {},
            }
        ],
        "mended": [{"database": "shop", "what": "REINDEX public.x", "why": "66% empty", "freed_bytes": 5_000_000}],
        "left": [{"database": "shop", "what": "VACUUM public.y", "why": "another session holds a lock"}],
        "databases": {"shop": {"bytes": 600_000_000, "dead_rows": 17, "empty_known_by": "pgstattuple"}},
        "changes": {
            "since": now - WEEK, "new": [f"shop/missing_index/{subject}"], "gone": ["shop/dead_rows/public.sale"],
            "figures": {"shop": {"dead_rows": {"before": 41_000, "now": 17}}},
        },
        "history": looks,
    }  # fmt: skip


async def look(site: Booted, said: dict[str, Any]) -> str:
    now = site.clock.now()

    def write(tx: Tx) -> str:
        run = Run(new_id(now), "tune", f"k:{now}", RunState.QUEUED, now, created_at=now)
        play_run(tx, run, "done", now, [], [], [], outcome_data=said)
        return run.id

    return await site.store.write(write)


@pytest.mark.parametrize("hostile", [False, True])
async def test_the_state_of_databases_is_shown_with_what_changed(
    site: Booted, client: Client, hostile: bool
) -> None:
    subject = "public.<script>alert(1)</script>" if hostile else "public.sale"
    run = await look(site, outcome(site.clock.now(), subject))
    for path in ("/jobs/tune", f"/runs/{run}"):
        text = (await client.get(path)).text
        page = Markup(text)
        assert page.faults == []
        for words in (subject, "cost falls from 900 to 8", "1 new, 1 gone", "was 41,000", "600 MB",
                      "emptiness by pgstattuple", "another session holds a lock", "5.0 MB"):  # fmt: skip
            assert words in page.text, words
        assert 'd="M0 20L1000 80"' in text  # 900 of 1,000 MB, then 600
        assert "freed_bytes" not in page.text


async def test_a_first_look_has_no_curve_and_nothing_ill_is_said(site: Booted, client: Client) -> None:
    said = outcome(site.clock.now()) | {
        "ailments": [],
        "mended": [],
        "left": [],
        "changes": {},
        "history": [],
    }
    await look(site, said)
    page = Markup((await client.get("/jobs/tune")).text)
    assert "Nothing is ill" in page.text
    assert "what of it is empty" not in page.text
    assert curve("shop", [{"at": 1.0, "databases": {"shop": {"bytes": 5}}}] * 2) is None
