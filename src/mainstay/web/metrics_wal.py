"""What `/metrics` says of the logs that are kept, as the node that keeps each has seen it."""

from collections.abc import Iterator, Mapping

from mainstay.backup.physical.picture import LogView
from mainstay.web.described import Described

Sample = tuple[str, tuple[str, ...], float]
RANK = ("ok", "warn", "fail", "unknown")

WAL = (
    Described(
        "mainstay_wal_seen_age_seconds",
        "Seconds since the node that keeps a database's log looked at it; lags, segments and sizes are as old as that.",
        ("database",),
    ),
    Described(
        "mainstay_wal_state",
        "1 for the log's present state (ok, warn, fail, unknown), 0 for the others.",
        ("database", "state"),
    ),
    Described("mainstay_wal_streaming", "1 while the log is received, 0 while it is not.", ("database",)),
    Described(
        "mainstay_wal_synchronous",
        "1 while commits wait for the receiver, 0 while they do not.",
        ("database",),
    ),
    Described(
        "mainstay_wal_receive_lag_bytes", "Log that the server has and the receiver has not.", ("database",)
    ),
    Described(
        "mainstay_wal_receive_lag_seconds", "Seconds for which the receiver has lacked log.", ("database",)
    ),
    Described(
        "mainstay_wal_storage_lag_bytes", "Log that the server has and the storage has not.", ("database",)
    ),
    Described(
        "mainstay_wal_storage_lag_seconds",
        "Seconds for which the storage has lacked log: what is lost with the server and this machine.",
        ("database",),
    ),
    Described(
        "mainstay_wal_segment_age_seconds",
        "Seconds since the newest whole segment came into the storage.",
        ("database",),
    ),
    Described(
        "mainstay_wal_retained_bytes", "Log that the server keeps because it was not shipped.", ("database",)
    ),
    Described("mainstay_wal_base_age_seconds", "Seconds since the last base backup.", ("database",)),
    Described(
        "mainstay_wal_proven_age_seconds",
        "Seconds since a moment was last restored and its marker rows were right.",
        ("database",),
    ),
    Described(
        "mainstay_wal_restore_seconds", "How long that restore took: the recovery time.", ("database",)
    ),
)
_SEEN = {
    "mainstay_wal_receive_lag_bytes": "receive_lag_bytes",
    "mainstay_wal_receive_lag_seconds": "receive_lag_seconds",
    "mainstay_wal_storage_lag_bytes": "storage_lag_bytes",
    "mainstay_wal_storage_lag_seconds": "storage_lag_seconds",
    "mainstay_wal_retained_bytes": "retained_bytes",
}


def wal_samples(found: Mapping[str, LogView], now: float) -> Iterator[Sample]:
    """Give (name, label values, value)."""
    for name, log in found.items():
        label = (name,)
        for state in RANK:
            yield "mainstay_wal_state", (name, state), float(log.state == state)
        yield from _seen(log, now)
        if log.base:
            yield "mainstay_wal_base_age_seconds", label, max(0.0, now - log.base["at"])
        if log.proof and log.proof["proven"]:
            yield "mainstay_wal_proven_age_seconds", label, max(0.0, now - log.proof["at"])
            yield "mainstay_wal_restore_seconds", label, log.proof["restore_seconds"]


def _seen(log: LogView, now: float) -> Iterator[Sample]:
    if log.seen is None or log.at is None:
        return
    label = (log.database,)
    yield "mainstay_wal_seen_age_seconds", label, max(0.0, now - log.at)
    yield "mainstay_wal_streaming", label, float(log.fresh and log.seen["streaming"])
    yield "mainstay_wal_synchronous", label, float(log.fresh and log.seen["waits"])
    for metric, key in _SEEN.items():
        if log.seen[key] is not None:
            yield metric, label, log.seen[key]
    if log.seen["segment_at"] is not None:
        yield "mainstay_wal_segment_age_seconds", label, max(0.0, now - log.seen["segment_at"])
