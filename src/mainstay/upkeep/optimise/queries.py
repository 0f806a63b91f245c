"""Slow queries, from pg_stat_statements where it is installed."""

from dataclasses import dataclass, field

from mainstay.core.amounts import format_duration
from mainstay.upkeep.optimise.ailment import Ailment, Level
from mainstay.upkeep.optimise.rules import Thresholds
from mainstay.upkeep.optimise.session import Session

MOST = 20
"""Queries that are told and planned, those that took longest in all."""
SHOWN = 400
"""Letters of a query that are shown. Its values are not among them: the server keeps $1, $2 in their place."""
QUERY = """
SELECT s.queryid::text, s.query, s.calls, s.{mean}::float8 / 1000, s.{total}::float8 / 1000, s.rows,
       r.rolname = current_user OR r.rolsuper
FROM {schema}.pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND s.query ~* '^\\s*(select|with|insert|update|delete|merge)\\M' AND s.{total} > 0
ORDER BY s.{total} DESC LIMIT 100
"""


@dataclass
class Slow:
    """What was found. `plannable` are queries, with calls, that the planner may be asked about."""

    ailments: list[Ailment] = field(default_factory=list)
    plannable: list[tuple[str, int]] = field(default_factory=list)
    seen: int | None = None
    """How many queries the server remembers here; None when it remembers none."""


async def slow(session: Session, name: str, rules: Thresholds) -> Slow:
    """Give the queries that take long on average, and those that a missing index may be behind.

    Planning a query runs functions of whoever wrote it, with our rights. So only queries of our own account and of
    superusers, who could do anything anyway, are plannable.
    """
    schema = session.extensions.get("pg_stat_statements")
    if schema is None:
        return Slow()
    names = (
        ("mean_exec_time", "total_exec_time") if session.version >= 130000 else ("mean_time", "total_time")
    )
    rows = await session.rows(QUERY.format(schema=schema, mean=names[0], total=names[1]))
    found = Slow(seen=len(rows))
    for identifier, text, calls, mean, total, count, ours in rows:
        if ours and len(found.plannable) < MOST:
            found.plannable.append((text, calls))
        if mean >= rules.slow and len(found.ailments) < MOST:
            facts = {"calls": calls, "mean_seconds": round(mean, 4), "total_seconds": round(total, 2)}
            facts |= {"rows": count, "query": _short(text)}
            words = f"{format_duration(mean)} on average, {calls:,} times: {_short(text)}"
            found.ailments.append(
                Ailment("slow_query", name, f"query {identifier}", words, Level.NOTE, "", facts)
            )
    return found


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
