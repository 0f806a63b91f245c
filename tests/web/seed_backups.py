"""The company's backups: one database proven, one taken but not proven, one whose copy was damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mainstay.core.ids import new_id
from mainstay.store import backups as repository
from mainstay.store.backups import Backup, BackupState, Proof
from mainstay.store.base import Tx

DAY = 86400.0
Act = tuple[float, Callable[[Tx], None]]


@dataclass(frozen=True)
class Size:
    """How big a database is and how long it takes."""

    rows: int
    tables: int
    bytes: int
    seconds: float
    proof: float


SIZES = {
    "odoo_prod": Size(18_204_551, 412, 389_000_000, 201.0, 391.0),
    "superset": Size(212_840, 96, 21_400_000, 21.8, 40.2),
    "hr": Size(48_112, 38, 6_100_000, 8.9, 16.1),
}
DIFFERENCES = [
    {
        "what": "public.employee",
        "expected": "1,204 rows, checksum 9f31c2",
        "found": "1,204 rows, checksum 71be04",
    },
    {"what": "public.payslip", "expected": "14,448 rows", "found": "14,447 rows"},
]


def backups(now: float) -> Iterator[Act]:
    """A month of them."""
    for database, size in SIZES.items():
        for day in range(30, -1, -1):
            at = now - 6.2 * 3600 - day * DAY
            yield at, _backup(database, size, at, day)


def _backup(database: str, size: Size, at: float, day: int) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        grown = 1 - day * 0.002
        rows, room = int(size.rows * grown), int(size.bytes * grown)
        backup = Backup(
            new_id(at),
            database,
            "spaces",
            f"{database}/{at:.0f}",
            BackupState.TAKEN,
            at,
            size.seconds,
            room,
            size.tables,
            rows,
            "{}",
        )
        repository.put(tx, backup)
        verdict = _verdict(database, day)
        if verdict is None:
            return
        words = {BackupState.PROVEN: f"{rows:,} rows in {size.tables} tables equal",
                 BackupState.PARTIAL: "all rows equal; partially proven: extension postgis missing",
                 BackupState.FAILED: "2 of 38 tables differ: public.employee, public.payslip"}[verdict]  # fmt: skip
        detail = {"differences": DIFFERENCES} if verdict is BackupState.FAILED else {"differences": []}
        repository.prove(
            tx,
            Proof(
                new_id(at),
                backup.id,
                at + size.proof + size.seconds,
                verdict,
                words,
                size.proof,
                size.tables,
                rows,
                detail,
            ),
        )

    return write


def _verdict(database: str, day: int) -> BackupState | None:
    if database == "superset":
        return BackupState.PROVEN if day % 7 == 3 else BackupState.PARTIAL if day == 12 else None
    if database == "hr" and day == 0:
        return BackupState.FAILED
    return BackupState.PROVEN
