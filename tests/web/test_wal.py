"""The logs that are kept, on the dashboard, in the API and in the metrics: how far behind, since when, how proven."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mainstay.backup.physical.picture import picture
from mainstay.store.wal import Seen
from tests.web.booted import Booted, Client, Past, booted
from tests.web.company import plan
from tests.web.markup import Markup
from tests.web.seed_wal import BASE, DAY, HOUR, PROOF, SEEN
from tests.web.test_metrics import read


@pytest.fixture
async def dashboard(tmp_path: Path, past: Past) -> AsyncIterator[Booted]:
    """The company with one more database, of which only the log is kept."""
    own = plan()
    first, second, *others = own.databases
    bare = dataclasses.replace(
        second, backup_job=None, prove_job=None, storage="", name="crm", log_storage="spaces"
    )
    changed = dataclasses.replace(own, databases=(first, bare, *others))
    async with booted(tmp_path, past=past, plan=changed) as site:
        yield site


@pytest.fixture
async def reader(dashboard: Booted) -> AsyncIterator[Client]:
    async with dashboard.client() as made:
        yield made


async def test_the_page_says_how_far_behind_the_storage_is_and_what_a_restore_takes(reader: Client) -> None:
    for path in ("/backups", "/backups/odoo_prod"):
        text = Markup((await reader.get(path)).text).text.replace(" ", "")
        for words in (
            "Every commit is kept", "measured 3 s ago by db2", "restored in 3 min 12 s (RTO), 2,816 marker rows right",
            "incremental, 41.0 MB, in 38 s", "812 kB", "last whole segment 000000020000001A000000C4",
            "0.8 s of log, with server and mainstay; no commit with the server alone",
            "synchronous; the server keeps 33.0 MB of at most 10.0 GB",
        ):  # fmt: skip
            assert words.replace(" ", "") in text, words
    bare = Markup((await reader.get("/backups/crm")).text).text
    assert "Nobody has looked at it yet" in bare
    assert "No backup yet" not in bare.split("History")[0]


async def test_programs_get_the_same(reader: Client) -> None:
    found = json.loads((await reader.get("/api/v1/backups")).text)["databases"]
    by_name = {one["name"]: one["log"] for one in found}
    assert by_name["hr"] is None
    assert by_name["crm"]["state"] == "unknown"
    log = by_name["odoo_prod"]
    assert (log["state"], log["seen"]["storage_lag_bytes"], log["proof"]["restore_seconds"]) == (
        "ok",
        812_000,
        192.0,
    )


async def test_the_metrics_have_every_lag_and_age(dashboard: Booted) -> None:
    async with dashboard.client() as client:
        values = read((await client.get("/metrics")).text)
    name = (("database", "odoo_prod"),)
    assert values["mainstay_wal_streaming", name] == values["mainstay_wal_synchronous", name] == 1
    assert values["mainstay_wal_storage_lag_bytes", name] == 812_000
    assert values["mainstay_wal_storage_lag_seconds", name] == 0.8
    assert values["mainstay_wal_segment_age_seconds", name] == 41
    assert values["mainstay_wal_seen_age_seconds", name] == 3
    assert values["mainstay_wal_restore_seconds", name] == 192
    assert values["mainstay_wal_proven_age_seconds", name] == pytest.approx(2.2 * DAY)
    assert values["mainstay_wal_base_age_seconds", name] == pytest.approx(9.1 * HOUR)
    assert ("mainstay_wal_streaming", (("database", "crm"),)) not in values


@pytest.mark.parametrize(
    ("changed", "state", "says"),
    [
        ({}, "ok", "every commit is kept"),
        ({"mode": "asynchronous", "waits": False}, "ok", "received and in the storage"),
        ({"waits": False}, "warn", "commits do not wait for their copy"),
        ({"late": 7.0, "said": "it hangs"}, "warn", "not received for 7s: it hangs"),
        ({"late": 61.0}, "fail", "not received for 1m 1s"),
        ({"storage_lag_seconds": 30.0}, "fail", "the storage is 30s behind"),
        ({"retained_bytes": 6 * 10**9}, "warn", "the server keeps 6.0 GB for us"),
    ],
)
def test_the_worst_is_said_first(changed: dict[str, Any], state: str, says: str) -> None:
    base, proof = {**BASE, "at": 1000.0}, {**PROOF, "at": 1000.0}
    seen = Seen("shop", 1000.0, {**SEEN, **changed})
    found = picture("shop", "vault", seen, base, proof, 1010.0)
    assert (found.state, found.says) == (state, says)
    assert picture("shop", "vault", seen, base, proof, 1100.0).state == "unknown"
    if state == "ok":
        assert picture("shop", "vault", seen, None, proof, 1010.0).says == "there is no base backup yet"
        assert picture("shop", "vault", seen, base, None, 1010.0).says == "no moment was proven yet"
        later = Seen("shop", 20 * DAY, seen.state)
        assert picture("shop", "vault", later, base, proof, 20 * DAY).says == "the last base backup is old"
