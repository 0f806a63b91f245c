"""Settings of the server that are surely wrong, or that its own counts speak against: few, each with its evidence."""

from typing import Any

from mainstay.core.amounts import format_size
from mainstay.upkeep.optimise.ailment import Ailment, Level
from mainstay.upkeep.optimise.session import Session

NEVER_OFF = {
    "autovacuum": "dead rows and old transaction numbers pile up until the server stops",
    "track_counts": "autovacuum is blind without it",
    "fsync": "a power cut can destroy the whole server",
    "full_page_writes": "a power cut can damage pages beyond repair",
}
SETTINGS = """
SELECT name, setting FROM pg_settings WHERE name IN
 ('autovacuum', 'track_counts', 'fsync', 'full_page_writes', 'shared_buffers', 'max_wal_size', 'work_mem')
"""
SMALL_CACHE = 128 * 2**20
"""What `shared_buffers` is when nobody has set it."""
OLD_CHECKPOINTS = "SELECT checkpoints_timed, checkpoints_req FROM pg_stat_bgwriter"
CHECKPOINTS = "SELECT num_timed, num_requested FROM pg_stat_checkpointer"
DATABASE = """
SELECT pg_database_size(datname), temp_bytes, temp_files, 100.0 * blks_hit / nullif(blks_hit + blks_read, 0),
 blks_hit + blks_read
FROM pg_stat_database WHERE datname = current_database()
"""


async def look(session: Session, name: str) -> list[Ailment]:
    """Give what should be set otherwise."""
    values = dict(await session.rows(SETTINGS))
    found = [
        _setting(name, each, f"it is off: {why}", f"ALTER SYSTEM SET {each} = on", Level.WARNING)
        for each, why in NEVER_OFF.items()
        if values.get(each) == "off"
    ]
    size, temporary, files, hit, asked = await session.row(DATABASE)
    cache = int(values["shared_buffers"]) * 8192
    if cache <= SMALL_CACHE and size > 4 * cache and asked > 1_000_000 and float(hit or 100) < 99:
        words = f"{format_size(cache)} for a database of {format_size(size)}, and {hit:.1f}% of pages are found there"
        fix = "a quarter of the machine's memory: ALTER SYSTEM SET shared_buffers = '...', then restart"
        found.append(_setting(name, "shared_buffers", words, fix))
    timed, requested = await session.row(CHECKPOINTS if session.version >= 170000 else OLD_CHECKPOINTS)
    if requested > 100 and requested > timed:
        words = f"{requested:,} of {requested + timed:,} checkpoints came early, as the log was full"
        now = int(values["max_wal_size"])
        found.append(_setting(name, "max_wal_size", words, f"ALTER SYSTEM SET max_wal_size = '{2 * now}MB'"))
    if temporary > size and files > 1000:
        words = f"sorts wrote {format_size(temporary)} into {files:,} temporary files"
        fix = f"more than {values['work_mem']} kB, for the roles that sort much: ALTER ROLE ... SET work_mem"
        found.append(_setting(name, "work_mem", words, fix))
    return found


def _setting(
    name: str, setting: str, words: str, fix: str, level: Level = Level.NOTE, **facts: Any
) -> Ailment:
    return Ailment("setting", name, setting, words, level, fix, facts)
