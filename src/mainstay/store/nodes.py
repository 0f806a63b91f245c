"""Nodes, which are processes that own work, and leases, which are roles that one node at a time has."""

from dataclasses import dataclass

from mainstay.store.base import Tx


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as the journal knows it. Times are seconds since 1970."""

    id: str
    host: str
    pid: int
    role: str
    started_at: float
    beat_at: float


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """Who has a role; `owner` is empty when it was given back."""

    name: str
    owner: str
    fence: int
    taken_at: float


def join(tx: Tx, node: NodeRow) -> None:
    """Add a node, or let it beat."""
    tx.run(
        "nodes.join",
        id=node.id,
        host=node.host,
        pid=node.pid,
        role=node.role,
        started_at=node.started_at,
        beat_at=node.beat_at,
    )


def beat(tx: Tx, node_id: str, now: float) -> bool:
    """Let a node beat; False when others took it for dead."""
    return tx.run("nodes.beat", id=node_id, beat_at=now) == 1


def everyone(tx: Tx) -> list[NodeRow]:
    """Give all nodes, oldest first."""
    return [
        NodeRow(row["id"], row["host"], row["pid"], row["role"], row["started_at"], row["beat_at"])
        for row in tx.all("nodes.all")
    ]


def remove(tx: Tx, node_id: str, beat_at: float | None = None) -> bool:
    """Remove a node; with `beat_at` only if it has not beaten since."""
    if beat_at is None:
        return tx.run("nodes.leave", id=node_id) == 1
    return tx.run("nodes.bury", id=node_id, beat_at=beat_at) == 1


def take_lease(tx: Tx, name: str, owner: str, now: float) -> LeaseRow | None:
    """Take a role if nobody has it; gives who has it now."""
    if not tx.run("nodes.take_lease", name=name, owner=owner, now=now):
        tx.run("nodes.found_lease", name=name, owner=owner, now=now)
    return lease(tx, name)


def drop_lease(tx: Tx, name: str, owner: str) -> bool:
    """Give a role back; False when somebody else has it."""
    return tx.run("nodes.drop_lease", name=name, owner=owner) == 1


def lease(tx: Tx, name: str) -> LeaseRow | None:
    """Say who has a role."""
    row = tx.one("nodes.lease", name=name)
    return None if row is None else LeaseRow(row["name"], row["owner"], row["fence"], row["taken_at"])


def standing(tx: Tx, name: str) -> tuple[LeaseRow | None, bool]:
    """Say who has a role, and whether it may be taken."""
    row = lease(tx, name)
    return row, row is None or tx.one("nodes.get", id=row.owner) is None
