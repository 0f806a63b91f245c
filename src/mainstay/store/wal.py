"""How the log of each database is: written by the node that keeps it, every few seconds."""

import json
from dataclasses import dataclass
from typing import Any

from mainstay.store.base import Tx

TOPIC = "backups"


@dataclass(frozen=True, slots=True)
class Seen:
    """How a database's log was at a moment (seconds since 1970); `state` is plain data, see `backup.physical.sight`."""

    database: str
    at: float
    state: dict[str, Any]


def put(tx: Tx, seen: Seen) -> None:
    """Say how a log is; signals `backups`."""
    tx.run("wal.put", name=seen.database, at=seen.at, seen=json.dumps(seen.state, ensure_ascii=False))
    tx.signal(TOPIC)


def all_(tx: Tx) -> dict[str, Seen]:
    """Give how each log was when it was last looked at, by the database's name."""
    return {row["name"]: Seen(row["name"], row["at"], json.loads(row["seen"])) for row in tx.all("wal.all")}


def forget(tx: Tx, database: str) -> None:
    """Forget how a log was: it is not kept any more."""
    if tx.run("wal.forget", name=database):
        tx.signal(TOPIC)
