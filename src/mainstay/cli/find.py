"""Finds a run, an incident or a backup by any unmistakable piece of its identifier."""

from mainstay.cli.context import Context
from mainstay.core.errors import MainstayError
from mainstay.store import status
from mainstay.store.base import Row


def one(ctx: Context, noun: str, part: str) -> Row:
    """Give the only one of `runs`, `incidents` or `backups` meant by `part`. Raises `MainstayError`."""
    found = ctx.look(lambda tx: status.like(tx, noun, part))
    return only(found, noun.removesuffix("s"), part)


def only(found: list[Row], noun: str, part: str) -> Row:
    """Give the only one that was found."""
    if not found:
        lists = {
            "event": "mainstay inbox",
            "run": "mainstay jobs",
            "incident": "mainstay incidents",
            "backup": "mainstay backup list",
        }
        raise MainstayError(f"there is no {noun} {part}", hint=f"{lists[noun]} lists them")
    if len(found) > 1:
        ends = ", ".join(row["id"][-8:] for row in found)
        raise MainstayError(f"{part} may mean several: {ends}", hint="give more letters")
    return found[0]
