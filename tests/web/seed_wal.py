"""The log of one of the company's databases: kept synchronously, with a base backup and a proof."""

from __future__ import annotations

from typing import Any

from mainstay.core.run import Run, RunState
from mainstay.store import runs, wal
from mainstay.store.base import Tx
from mainstay.store.wal import Seen

HOUR, DAY = 3600.0, 86400.0
SEEN: dict[str, Any] = {
    "host": "db2", "log": "7123", "mode": "synchronous", "waits": True, "streaming": True, "late": 0.0, "said": "",
    "receive_lag_bytes": 0, "receive_lag_seconds": 0.0, "storage_lag_bytes": 812_000, "storage_lag_seconds": 0.8,
    "stored_at": 0.0, "segment": "000000020000001A000000C4", "segment_at": 0.0, "retained_bytes": 33_000_000,
    "most_retained": 10 * 10**9,
}  # fmt: skip
BASE = {"base": "b", "kind": "incremental", "bytes": 41_000_000, "raw_bytes": 210_000_000, "seconds": 38.0}
PROOF = {
    "proven": True, "target": "2026-09-20 14:13:20 UTC", "restore_seconds": 192.0, "restored_bytes": 5 * 10**9,
    "markers": 2816, "checked": "page checksums are right",
}  # fmt: skip


def logs(tx: Tx, now: float, node: str) -> None:
    """How it is, and what was done for it."""
    wal.put(tx, Seen("odoo_prod", now - 3, {**SEEN, "segment_at": now - 41, "stored_at": now - 1}))
    for kind, age, outcome in (("base_backup", 9.1 * HOUR, BASE), ("prove_log", 2.2 * DAY, PROOF)):
        job, at = f"{kind}:odoo_prod", now - age
        runs.insert(tx, Run(f"r-{kind}", job, f"k-{kind}", RunState.QUEUED, at, created_at=at))
        run = runs.take(tx, f"r-{kind}", job, node, at)
        assert run is not None
        assert runs.settle(tx, run, RunState.DONE, at, outcome=outcome) is not None
