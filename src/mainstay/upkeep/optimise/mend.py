"""Carries deeds out, beside whatever else runs: what a lock or the time refuses is left as it was."""

from collections.abc import Callable
from typing import Any

from mainstay.core import crash
from mainstay.ports.postgres.dsn import PostgresError
from mainstay.upkeep.optimise import catalog
from mainstay.upkeep.optimise.ailment import Deed, Work
from mainstay.upkeep.optimise.indexes import left_over
from mainstay.upkeep.optimise.session import LOCKED, Busy, Session, TooLong

SIZE = "SELECT coalesce(pg_relation_size(to_regclass(%s)), 0)"
STILL = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = %s::bigint::oid AND format('%%I.%%I', n.nspname, c.relname) = %s)
"""


async def carry_out(
    session: Session, deed: Deed, within: float, log: Callable[[str], None]
) -> dict[str, Any]:
    """Do one deed in at most so many seconds; give how it went as `done`, `freed` bytes and `why` not, in words."""
    (still,) = await session.row(STILL, [deed.oid, deed.target])
    if not still:
        return {"done": False, "freed": 0, "why": "it is not there any more"}
    if deed.work is Work.DROP and await catalog.building(session):
        return {"done": False, "freed": 0, "why": "somebody builds an index"}
    (before,) = await session.row(SIZE, [deed.target])
    crash.point("optimise.begun")
    try:
        warnings = await session.do(deed.sql, within)
    except Busy:
        return await _left(session, deed, log, LOCKED)
    except TooLong:
        left = await _left(session, deed, log, "it takes longer than it may; do it by hand in a quiet hour")
        return {**left, "too_long": True}
    except PostgresError as fault:
        return await _left(session, deed, log, fault.what)
    passed = next((said for said in warnings if said == LOCKED or "skipping" in said), None)
    if passed:
        return {"done": False, "freed": 0, "why": passed}
    (after,) = await session.row(SIZE, [deed.target])
    freed = max(0, before - after)
    log(f"{deed.database}: {deed.sql}: done")
    return {"done": True, "freed": freed, "why": ""}


async def _left(session: Session, deed: Deed, log: Callable[[str], None], why: str) -> dict[str, Any]:
    """Clean up behind a rebuild that was cut off."""
    log(f"{deed.database}: {deed.sql}: {why}")
    if deed.work is Work.REBUILD:
        why += await _tidy(session, deed, log)
    return {"done": False, "freed": 0, "why": why}


async def _tidy(session: Session, deed: Deed, log: Callable[[str], None]) -> str:
    """Drop what a rebuild of ours left over; say what could not be dropped."""
    if await catalog.building(session):
        return ""
    found = await catalog.indexes(session)
    rebuilt = next((each for each in found if each.oid == deed.oid), None)
    if rebuilt is None:
        return ""
    halves = [
        each
        for each in found
        if each.of == rebuilt.of
        and each.oid != deed.oid
        and left_over(each, found)
        and each.bare.startswith(rebuilt.bare[:50])
    ]
    for half in halves:
        try:
            await session.do(f"DROP INDEX CONCURRENTLY IF EXISTS {half.name}", 60)
            log(f"{deed.database}: {half.name} was left over, and is gone")
        except PostgresError as fault:
            return f"; {half.name} stays until the next run: {fault.what}"
    return ""
