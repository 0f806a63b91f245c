"""From one Redis into another, key by key: what needs no file in the other one's directory, and no restart."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from mainstay.backup.data.base import DataError
from mainstay.backup.data.redis_content import BATCH, ask

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def copy_database(source: "Redis", target: "Redis", db: int) -> AsyncIterator[tuple[int, int]]:
    """Copy one database with its times to live; tell (copied, expired meanwhile) from time to time.

    Raises `DataError` when the other server does not take a key.
    """
    cursor: Any = b"0"
    copied = expired = 0
    while True:
        (answer,) = await ask(source, db, [("SCAN", cursor, "COUNT", BATCH)])
        cursor, names = answer
        dumps = await ask(source, db, [("DUMP", name) for name in names])
        _readable(db, dumps)
        lives = await ask(source, db, [("PTTL", name) for name in names])  # -1 is for ever
        orders = [
            ("RESTORE", name, 0 if left == -1 else max(1, left), dump)
            for name, dump, left in zip(names, dumps, lives, strict=True)
            if dump is not None
        ]
        expired += len(names) - len(orders)
        for said in await ask(target, db, orders):
            if isinstance(said, Exception):
                raise DataError(
                    f"database {db} is not restored: {said}",
                    hint="is the server as new as the one that was backed up?",
                )
        copied += len(orders)
        yield copied, expired
        if cursor == b"0":
            return


def _readable(db: int, dumps: list[Any]) -> None:
    """Make sure that every key could be read: one that could not has not expired. Raises `DataError`."""
    for said in dumps:
        if isinstance(said, Exception):
            raise DataError(f"database {db} is not restored: a key cannot be read from the backup: {said}")


async def copy_functions(source: "Redis", target: "Redis") -> None:
    """Copy the functions, if there are any. Raises `DataError` when the other server does not take them."""
    functions, listed = await ask(source, 0, [("FUNCTION", "DUMP"), ("FUNCTION", "LIST")])
    if isinstance(functions, bytes) and listed:
        (said,) = await ask(target, 0, [("FUNCTION", "RESTORE", functions)])
        if isinstance(said, Exception):
            raise DataError(
                f"the keys are restored, the functions are not: {said}",
                hint="is the server as new as the one that was backed up?",
            )
