"""One look into one database: what is ill, what would mend it, and the figures."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstay.upkeep.optimise import advice, bloat, catalog, indexes, missing, queries, tables
from mainstay.upkeep.optimise.ailment import Ailment, Deed, Level
from mainstay.upkeep.optimise.catalog import Index, Table
from mainstay.upkeep.optimise.rules import Thresholds
from mainstay.upkeep.optimise.session import Session


@dataclass
class Survey:
    """What a look found. `uses` are the indexes' counts of uses by key."""

    ailments: list[Ailment] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Surveyor:
    """Looks into databases. `seen` are uses of indexes with the time since which they did not change."""

    rules: Thresholds
    now: float
    over: Callable[[], bool]
    seen: Mapping[str, tuple[int, float]]
    drop_duplicates: bool = False

    async def look(self, session: Session, name: str) -> Survey:
        """Look into a database, and change nothing."""
        survey = Survey()
        found, trees = await catalog.tables(session), await catalog.indexes(session)
        (replica,) = await session.row("SELECT pg_is_in_recovery()")
        (followers,) = await session.row("SELECT count(*)::int FROM pg_stat_replication")
        mays = set() if replica else {t.oid for t in found if t.may} | {i.oid for i in trees if i.may}
        self._tables(survey, name, found, mays)
        empties = await self._bloat(survey, session, name, found, trees, mays)
        if not await catalog.building(session):
            self._add(survey, indexes.invalid(name, trees), mays)
        doubles = list(indexes.duplicates(name, trees))
        self._add(survey, ((ill, deed if self.drop_duplicates else None) for ill, deed in doubles), mays)
        survey.ailments += indexes.unused(name, trees, self.rules, self.seen, self.now, followers)
        survey.uses = {indexes.use_key(name, each): each.scans for each in trees}
        survey.ailments += await tables.holders(session, name)
        slow = await queries.slow(session, name, self.rules)
        survey.ailments += slow.ailments
        survey.ailments += await missing.look(session, name, found, trees, slow.plannable, self.rules)
        survey.ailments += await advice.look(session, name)
        survey.figures = await catalog.figures(session) | empties
        survey.figures |= {
            "version": f"{session.version // 10000}.{session.version % 10000}",
            "replica": replica,
            "dead_rows": sum(each.dead for each in found if not each.system),
            "unused_indexes": sum(1 for each in survey.ailments if each.kind == "unused_index"),
            "queries_seen": slow.seen,
        }
        return survey

    def _tables(self, survey: Survey, name: str, found: list[Table], mays: set[int]) -> None:
        self._add(survey, tables.worn(name, found, self.rules), mays)

    async def _bloat(
        self,
        survey: Survey,
        session: Session,
        name: str,
        found: list[Table],
        trees: list[Index],
        mays: set[int],
    ) -> dict[str, Any]:
        large = [each for each in found if not each.system and each.bytes >= self.rules.smallest]
        wide = [each for each in trees if each.valid and each.bytes >= self.rules.smallest]
        of_tables = await bloat.of_tables(session, large, self.over)
        of_indexes = await bloat.of_indexes(session, wide, self.over)
        survey.ailments += tables.empty(name, large, of_tables, self.rules)
        self._add(survey, indexes.empty(name, wide, of_indexes, self.rules), mays)
        known = [*of_tables.values(), *of_indexes.values()]
        return {
            "empty_bytes": sum(each.bytes for each in known),
            "empty_of_bytes": sum(each.of for each in known),
            "empty_known_by": "pgstattuple"
            if known and all(each.measured for each in known)
            else "pgstattuple and estimates"
            if any(each.measured for each in known)
            else "estimates",
        }

    def _add(self, survey: Survey, pairs: Iterable[tuple[Ailment, Deed | None]], mays: set[int]) -> None:
        """Take ailments, and of their deeds those that our account may do on a primary."""
        for ailment, deed in pairs:
            survey.ailments.append(ailment)
            if deed is not None and deed.oid in mays and deed.key not in {each.key for each in survey.deeds}:
                survey.deeds.append(deed)


def worst_first(ailments: Iterable[Ailment]) -> list[Ailment]:
    """The grave ones first, then by kind and name."""
    order = list(Level)
    return sorted(
        ailments, key=lambda each: (order.index(each.level), each.kind, each.database, each.subject)
    )
