"""The act of the wrong DELETE: rows are gone, the log brings the moment before back, in a new server."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.cluster import Cluster, Owner
from mainstay.backup.physical.layout import Segment, log_home, parse_lsn
from mainstay.backup.session import one, session
from mainstay.core.errors import MainstayError
from mainstay.core.run import Run, RunState
from mainstay.demo.company import Company
from mainstay.demo.measures import MistakeMeasure
from mainstay.ports.postgres.dsn import Dsn
from mainstay.ports.scratch import short_root

Tell = Callable[[str], None]
Until = Callable[[Callable[[], Awaitable[Any]], str, float], Awaitable[Any]]
Do = Callable[[str, dict[str, Any]], Awaitable[Run]]

DATABASE, STORAGE = "erp_prod", "vault"
COLUMNS = "public.sale_order_line (id, order_id, product_id, quantity, price, discount)"
SALE = "INSERT INTO public.sale_order_line (order_id, product_id, quantity, price) VALUES (7, 7, 1, 99.50)"
MISTAKE = "DELETE FROM public.sale_order_line"
ROWS = "SELECT hashtextextended(_r_::text, 0) FROM public.sale_order_line _r_"
SEGMENT_BYTES = 16 << 20
WAIT = 60.0


async def undo(company: Company, tell: Tell, until: Until, do: Do) -> MistakeMeasure | None:
    """Sell, delete everything by mistake, bring the moment before back and compare; None where no log is kept."""
    if company.config.databases[DATABASE].wal is None:
        tell("no program of this machine keeps a server's log: the act of the wrong DELETE is left out")
        return None
    base = await do(f"base_backup:{DATABASE}", {})
    if base.state is not RunState.DONE:
        raise MainstayError(f"no base backup of {DATABASE} was taken: {base.error}")
    tell(f"a base backup of the whole server, and its log from there on: {base.summary}")
    made = await _err(company.erp)
    tell(f"{MISTAKE}, without a WHERE, at {made.at}: {made.deleted:,} rows are gone")
    archive = Archive(company.config.storage[STORAGE], log_home(DATABASE, await _system(company.erp)))
    await until(lambda: _shipped(archive, made.position), "the log of the mistake is in the storage", WAIT)
    place = company.space.beside(short_root())
    place.chmod(0o711)  # the restored server runs as another user when we are root
    seconds = await _restore(company, made.at, place / "server")
    found = await _take_back(company, place / "server")
    lost, alien = (made.before - found).total(), (found - made.before).total()
    tell(f"the server as it was then is back in {seconds:.1f} s: {lost} rows lost, {alien} too many")
    put_back = (made.before & await _rows(company.erp)).total()
    tell(f"{put_back:,} rows went from there into the ERP again")
    took = round(float(base.outcome["seconds"]), 2)
    return MistakeMeasure(made.deleted, lost, alien, put_back, took, round(seconds, 2))


@dataclass(frozen=True, slots=True)
class Mistake:
    """The rows that were there, the moment before they were deleted, how many that were, where the log then stood."""

    before: Counter[int]
    at: str
    deleted: int
    position: int


async def _err(erp: Dsn) -> Mistake:
    """Sell something that no backup has, delete everything, and sell again: life goes on."""
    await _change(erp, SALE)
    before = await _rows(erp)
    at = (await _ask(erp, "SELECT clock_timestamp()::text"))[0]
    deleted = await _change(erp, MISTAKE)
    position = parse_lsn((await _ask(erp, "SELECT pg_current_wal_insert_lsn()::text"))[0])
    await _change(erp, SALE)
    return Mistake(before, at, deleted, position)


async def _restore(company: Company, moment: str, data: Path) -> float:
    """Restore by the command that a person would use; give how long it says that it took, in seconds."""
    code, out, err = await company.mainstay(
        "restore", DATABASE, "--to", moment, "--new-server", str(data), "--json"
    )
    if code:
        raise MainstayError(f"the restore ended with {code}: {err.strip()[-500:]}")
    return float(json.loads(out)["seconds"])


async def _take_back(company: Company, data: Path) -> Counter[int]:
    """Run the restored server, put its rows into the original, and give which these were."""
    user = company.erp.params["user"]
    cluster = Cluster(data, company.toolset, user, Owner.find(lasting=True), company.space)
    async with cluster.running({}):
        restored = cluster.dsn(DATABASE)
        await _put_back(restored, company.erp)
        return await _rows(restored)


async def _put_back(restored: Dsn, into: Dsn) -> None:
    out, back = f"COPY {COLUMNS} TO STDOUT".encode(), f"COPY {COLUMNS} FROM STDIN".encode()
    async with (
        session(restored) as source,
        session(into) as target,
        source.cursor().copy(out) as reading,
        target.cursor().copy(back) as writing,
    ):
        async for data in reading:
            await writing.write(data)


async def _rows(dsn: Dsn) -> Counter[int]:
    """Give each row of the table as a hash of all that is in it, and how often it is there."""
    async with session(dsn) as connection:
        return Counter(row[0] for row in await (await connection.execute(ROWS.encode())).fetchall())


async def _ask(dsn: Dsn, query: str) -> tuple[Any, ...]:
    async with session(dsn) as connection:
        return await one(connection, query)


async def _change(dsn: Dsn, statement: str) -> int:
    """Run a statement; give how many rows it changed."""
    async with session(dsn) as connection:
        return (await connection.execute(statement.encode())).rowcount


async def _system(dsn: Dsn) -> str:
    return str((await _ask(dsn, "SELECT system_identifier::text FROM pg_control_system()"))[0])


async def _shipped(archive: Archive, position: int) -> bool:
    """Whether the log up to a position lies in the storage, whole or in pieces."""
    contents = await archive.contents()
    segments = {Segment.named(name, SEGMENT_BYTES) for name in contents.whole}
    segments |= {
        Segment.named(name, SEGMENT_BYTES)
        for name, parts in contents.parts.items()
        if max(part.end for part in parts) + Segment.named(name, SEGMENT_BYTES).start >= position
    }
    return any(segment.end >= position for segment in segments)
