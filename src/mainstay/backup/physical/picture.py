"""The logs of all databases in one picture, for the command line, pages and programs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mainstay.core.run import Run, RunState
from mainstay.core.units import format_duration, format_size
from mainstay.store import runs, wal
from mainstay.store.base import Tx
from mainstay.store.wal import Seen

FRESH = 60.0
"""Seconds after which a look is too old to say anything."""
LATE, LOUD = 5.0, 20.0
"""Seconds without a receiver, or a storage, after which that is worth a look, and after which it is a fault."""
BASE_AGE, PROOF_AGE = 2 * 86400.0 + 3600, 8 * 86400.0
"""Seconds after which a base backup, or a proof, is called old when its schedule is not known."""
MUCH = 0.5
"""Of what the server may keep for us: more than that is worth a look."""
LOOKED_BACK = 60


@dataclass(frozen=True, slots=True)
class LogView:
    """How the log of a database is. `state` is ok, warn, fail or unknown; `says` is why, in words.

    `seen` is what `Book.state` gives, as of `at`; None when nobody has looked yet. `base` and `proof` are what the
    last good runs came to, with their times; None when there was none.
    """

    database: str
    storage: str
    state: str
    says: str
    at: float | None
    fresh: bool
    seen: Mapping[str, Any] | None
    base: Mapping[str, Any] | None
    proof: Mapping[str, Any] | None

    def plain(self) -> dict[str, Any]:
        """Give it for programs."""
        return asdict(self)


def pictures(tx: Tx, storages: Mapping[str, str], now: float) -> dict[str, LogView]:
    """Give how each log is, by the database's name; `storages` are those whose log is kept, with where it goes."""
    if not storages:
        return {}
    found = wal.all_(tx)
    return {
        name: picture(name, storage, found.get(name), _base(tx, name), _proof(tx, name), now)
        for name, storage in storages.items()
    }


def picture(
    name: str,
    storage: str,
    seen: Seen | None,
    base: Mapping[str, Any] | None,
    proof: Mapping[str, Any] | None,
    now: float,
) -> LogView:
    """Judge what was seen of one log at `now`, seconds since 1970."""
    # Who asks an archive now and then says how often.
    fresh = seen is not None and now - seen.at < max(FRESH, seen.state.get("every", 0.0))
    if seen is None:
        state, says = "unknown", "nobody has looked at it yet"
    elif not fresh:
        state, says = "unknown", "nobody keeps it now: the agent does not run, or cannot"
    else:
        state, says = _worst(seen.state, base, proof, now)
    at = seen.at if seen else None
    return LogView(name, storage, state, says, at, fresh, seen.state if seen else None, base, proof)


def _worst(
    seen: Mapping[str, Any], base: Mapping[str, Any] | None, proof: Mapping[str, Any] | None, now: float
) -> tuple[str, str]:
    """Give the state and why: the first of what is wrong, the worst first."""
    said = f": {seen['said']}" if seen["said"] else ""
    behind = f"the storage is {_span(seen['storage_lag_seconds'])} behind"
    faults = [
        (seen["late"] >= LOUD, f"not received for {_span(seen['late'])}{said}"),
        (seen["storage_lag_seconds"] >= LOUD, behind),
    ]
    warnings = [
        (seen["late"] >= LATE, f"not received for {_span(seen['late'])}{said}"),
        (seen["storage_lag_seconds"] >= LATE, behind),
        (seen["mode"] == "synchronous" and not seen["waits"], "commits do not wait for their copy"),
        (
            (seen["retained_bytes"] or 0) > MUCH * seen["most_retained"],
            f"the server keeps {format_size(seen['retained_bytes'] or 0)} for us",
        ),
        (base is None, "there is no base backup yet"),
        (base is not None and now - base["at"] > BASE_AGE, "the last base backup is old"),
        (proof is None, "no moment was proven yet"),
        (proof is not None and not proof["proven"], "the last proof proved nothing"),
        (proof is not None and now - proof["at"] > PROOF_AGE, "the last proof is old"),
    ]
    for state, reasons in (("fail", faults), ("warn", warnings)):
        if says := next((words for wrong, words in reasons if wrong), None):
            return state, says
    if seen["mode"] == "archived":
        return "ok", "archived, segment by segment"
    return "ok", "every commit is kept" if seen["waits"] else "received and in the storage"


def _base(tx: Tx, database: str) -> dict[str, Any] | None:
    run = _last(runs.latest(tx, f"base_backup:{database}", LOOKED_BACK))
    if run is None:
        return None
    facts = ("base", "kind", "bytes", "raw_bytes", "seconds")
    return {"at": run.finished_at, "run": run.id, **{name: run.outcome.get(name) for name in facts}}


def _proof(tx: Tx, database: str) -> dict[str, Any] | None:
    run = _last(runs.latest(tx, f"prove_log:{database}", LOOKED_BACK))
    if run is None:
        return None
    facts = ("proven", "target", "restore_seconds", "restored_bytes", "markers", "checked")
    return {"at": run.finished_at, "run": run.id, **{name: run.outcome.get(name) for name in facts}}


def _last(found: Iterable[Run]) -> Run | None:
    return next((run for run in found if run.state is RunState.DONE and run.finished_at is not None), None)


def _span(seconds: float) -> str:
    return format_duration(round(seconds))
