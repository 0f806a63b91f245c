"""Backups and their proofs, as the journal remembers them."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mainstay.store.base import Row, Tx

TOPIC = "backups"


class BackupState(StrEnum):
    """TAKEN until it was restored and compared, then PROVEN; PARTIAL when this machine could not restore all of it."""

    TAKEN = "taken"
    PROVEN = "proven"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup in a storage. Times are seconds since 1970, `seconds` its duration; `manifest` is the sealed text.

    `kept` has the bytes and the SHA-256 of each object as it lies there, by its name, where that is not what the
    manifest says because it was encrypted. `verified_at` is when every stored byte was last found unchanged.
    """

    id: str
    database: str
    storage: str
    path: str
    state: BackupState
    taken_at: float
    seconds: float
    bytes: int
    tables: int
    rows: int
    manifest: str = field(repr=False)
    run: str | None = None
    deleted_at: float | None = None
    kept: dict[str, tuple[int, str]] = field(default_factory=dict)
    verified_at: float | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What came out when a backup was restored and compared. `detail` has the differences."""

    id: str
    backup: str
    at: float
    verdict: BackupState
    summary: str
    seconds: float
    tables: int
    rows: int
    detail: dict[str, Any] = field(default_factory=dict)
    run: str | None = None


def put(tx: Tx, backup: Backup) -> None:
    """Record a backup. The same place twice is the same backup, made anew."""
    values = asdict(backup)
    del values["deleted_at"], values["verified_at"]
    tx.run("backups.put", **values | {"state": backup.state.value, "kept": json.dumps(backup.kept)})
    tx.signal(TOPIC)


def get(tx: Tx, id: str) -> Backup | None:
    """Give a backup, also one that was deleted."""
    row = tx.one("backups.get", id=id)
    return None if row is None else _backup(row)


def at(tx: Tx, storage: str, path: str) -> Backup | None:
    """Give the backup at a place, also one that was deleted."""
    row = tx.one("backups.at", storage=storage, path=path)
    return None if row is None else _backup(row)


def of(tx: Tx, database: str) -> list[Backup]:
    """Give the backups of a database that are still there, the newest first."""
    return [_backup(row) for row in tx.all("backups.of", database=database)]


def all_(tx: Tx) -> list[Backup]:
    """Give every backup that is still there, the newest first."""
    return [_backup(row) for row in tx.all("backups.all")]


def latest(tx: Tx, database: str, storage: str | None = None) -> Backup | None:
    """Give the newest backup of a database that is still there."""
    return next((found for found in of(tx, database) if storage in (None, found.storage)), None)


def deleted(tx: Tx, id: str, now: float) -> None:
    """Remember that a backup's objects are gone."""
    tx.run("backups.delete", id=id, now=now)
    tx.signal(TOPIC)


def undelete(tx: Tx, id: str) -> None:
    """A backup is still there after all: the storage did not let us delete it."""
    tx.run("backups.undelete", id=id)
    tx.signal(TOPIC)


def verified(tx: Tx, id: str, now: float) -> None:
    """Remember that every stored byte of a backup was found unchanged."""
    tx.run("backups.verified", id=id, now=now)
    tx.signal(TOPIC)


def judge(tx: Tx, id: str, state: BackupState) -> None:
    """Change what is thought of a backup."""
    tx.run("backups.judge", id=id, state=state.value)
    tx.signal(TOPIC)


def prove(tx: Tx, proof: Proof) -> None:
    """Keep a proof and let the backup's state follow it."""
    values = asdict(proof) | {"detail": json.dumps(proof.detail), "verdict": proof.verdict.value}
    tx.run("backups.prove", **values)
    tx.run("backups.judge", id=proof.backup, state=proof.verdict.value)
    tx.signal(TOPIC)


def proof(tx: Tx, id: str) -> Proof | None:
    """Give one proof."""
    row = tx.one("backups.proof", id=id)
    return None if row is None else _proof(row)


def proofs(tx: Tx, backup: str) -> list[Proof]:
    """Give the proofs of a backup, the newest first."""
    return [_proof(row) for row in tx.all("backups.proofs", backup=backup)]


def last_proof(tx: Tx, database: str, verdict: BackupState = BackupState.PROVEN) -> Proof | None:
    """Give the newest proof of a database that ended so, whether or not its backup is still kept."""
    row = tx.one("backups.last_proof", database=database, verdict=verdict.value)
    return None if row is None else _proof(row)


def last_proof_in(tx: Tx, database: str, storage: str) -> Proof | None:
    """Give the newest proof of a database in one storage, however it ended."""
    row = tx.one("backups.last_proof_in", database=database, storage=storage)
    return None if row is None else _proof(row)


def run_state(tx: Tx, run: str) -> str | None:
    """Give the state of the run that wrote something into a storage; None when the journal does not know it."""
    row = tx.one("backups.run_state", id=run)
    return None if row is None else str(row["state"])


def _backup(row: Row) -> Backup:
    kept = {name: (int(size), str(sha256)) for name, (size, sha256) in json.loads(row["kept"]).items()}
    return Backup(**{**row, "state": BackupState(row["state"]), "kept": kept})


def _proof(row: Row) -> Proof:
    return Proof(**{**row, "verdict": BackupState(row["verdict"]), "detail": json.loads(row["detail"])})
