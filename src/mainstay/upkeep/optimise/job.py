"""The job `optimize_database`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from mainstay.core.job import Job, JobFailed, Look, Outcome, RunContext
from mainstay.core.schedule import Cron
from mainstay.core.units import Duration
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.store import meta
from mainstay.store.base import Tx
from mainstay.upkeep.optimise.ailment import Ailment, Deed, Work
from mainstay.upkeep.optimise.mend import carry_out
from mainstay.upkeep.optimise.report import Report
from mainstay.upkeep.optimise.rules import Thresholds
from mainstay.upkeep.optimise.session import session
from mainstay.upkeep.optimise.survey import Survey, Surveyor, worst_first
from mainstay.upkeep.ports import UpkeepPorts

NOTE = "optimise:"
"""The journal's note (in `meta`) of a job: where to go on, older looks, and the uses of indexes."""
SHARE = 0.25
"""Share of the time after which a look measures nothing any more, and estimates."""
LATE = 0.1
"""Share of the time after which what was cut off with it is begun anew by the next run, which has all of it."""


class OptimizeDatabase(Job, type="optimize_database"):
    """Vacuums, analyses and rebuilds what statistics say is ill, beside running work; tells the rest, with evidence.

    Nothing keeps readers or writers out: indexes are rebuilt and dropped concurrently, locks are waited for briefly.
    """

    steps: ClassVar[tuple[str, ...]] = ("look", "mend", "look_again", "rebuild", "report")

    at: Cron | None = "0 0 * * 0"
    """When it is due, as five cron fields."""
    databases: list[str] = Field(default=[], examples=[["odoo"]])
    """Which of the configured databases; all of them when left out."""
    mend: bool = True
    """Whether anything is done; otherwise it is told only."""
    drop_duplicates: bool = False
    """Whether an index goes that is exactly equal to another one, which stays."""
    thresholds: Thresholds = Thresholds()
    """From when on something is worth the work."""
    lock_timeout: Duration = Field(default=5.0, gt=0)
    """After so long without a lock, a table or an index is left for the next time."""
    statement_timeout: Duration = Field(default=1200.0, gt=0)
    """A statement that takes longer is stopped, and what it left is cleaned up."""
    budget: Duration = Field(default=1800.0, gt=0)
    """After so long it begins nothing new, and the next run begins where it stopped."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when it is due while it still runs: left out, or run afterwards."""
    timeout: Duration = 2 * 3600.0
    """A run that takes longer is stopped and counts as failed."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(UpkeepPorts)
        note = await ports.store.read(partial(_note, job=run.job))
        work = Optimising(self, ports, note, run.now(), run.log)
        looked = await run.step("look", work.look)
        first = await self._carry_out(run, work, "mend", self._deeds(looked, note, rebuild=False))
        # Only vacuum makes room visible: what is empty now is rebuilt in this run, not next week.
        looked = await run.step("look_again", partial(work.look_again, looked))
        second = await self._carry_out(run, work, "rebuild", self._deeds(looked, note, rebuild=True))
        again = await run.step("report", work.look)
        report = self._report([*first, *second], again, note)
        await ports.store.write(lambda tx: self._remember(tx, run, report, again))
        for each in report.ailments:
            run.log(f"{each.level}: {each.database}: {each.subject}: {each.words}")
        if again["faults"]:
            raise JobFailed("; ".join(again["faults"].values()))
        return Outcome(report.summary(self.budget), report.to_json(run.now()))

    async def foresee(self, look: Look) -> list[str]:
        ports = look.get(UpkeepPorts)
        lines: list[str] = []
        note = await ports.store.read(partial(_note, job=""))
        found = await Optimising(self, ports, note, look.now(), lines.append).look()
        lines += list(found["faults"].values())
        deeds = in_turn([Deed.from_json(each) for each in found["deeds"]], "")
        does = {(each.database, each.target) for each in deeds} if self.mend else set()
        if self.mend:
            lines += [f"{each.database}: {each.sql}: {each.why}" for each in deeds]
        for each in worst_first(Ailment.from_json(one) for one in found["ailments"]):
            if (each.database, each.subject) not in does:
                lines.append(f"{each.database}: {each.subject}: {each.words}, only told")
        return lines or ["nothing is ill"]

    def _deeds(self, looked: dict[str, Any], note: dict[str, Any], *, rebuild: bool) -> list[Deed]:
        deeds = [Deed.from_json(each) for each in looked["deeds"]] if self.mend else []
        return in_turn(
            [each for each in deeds if (each.work is Work.REBUILD) is rebuild], note.get("next", "")
        )

    async def _carry_out(
        self, run: RunContext, work: "Optimising", step: str, deeds: Sequence[Deed]
    ) -> list[tuple[Deed, dict[str, Any] | None]]:
        """Do one deed after the other, each a step that is never repeated; None where the time was up."""

        async def each_in_turn() -> list[dict[str, Any] | None]:
            results: list[dict[str, Any] | None] = []
            for number, deed in enumerate(deeds):
                run.progress("tables and indexes", number, len(deeds))
                one = partial(work.carry_out, deed)
                results.append(None if work.over() else await run.step(f"{step}:{number}", one))
            return results

        return list(zip(deeds, await run.step(step, each_in_turn), strict=True))

    def _report(
        self,
        deeds: Sequence[tuple[Deed, dict[str, Any] | None]],
        again: dict[str, Any],
        note: dict[str, Any],
    ) -> Report:
        tried = [(deed, each) for deed, each in deeds if each is not None and not each["late"]]
        return Report(
            worst_first(Ailment.from_json(each) for each in again["ailments"]),
            [(deed, each["freed"]) for deed, each in tried if each["done"]],
            [(deed, each["why"]) for deed, each in tried if not each["done"]],
            [deed for deed, each in deeds if each is None or each["late"]],
            again["figures"],
            list(note.get("history", [])),
        )

    def _remember(self, tx: Tx, run: RunContext, report: Report, again: dict[str, Any]) -> None:
        old, now = _note(tx, run.job).get("uses", {}), run.now()
        uses = {}
        for key, count in again["uses"].items():
            seen, since = old.get(key, (None, now))
            uses[key] = [count, since if seen == count else now]
        note = {
            "next": report.waiting[0].key if report.waiting else "",
            "history": report.remembered(now),
            "uses": uses,
        }
        meta.put(tx, f"{NOTE}{run.job}", json.dumps(note))


def _note(tx: Tx, job: str) -> dict[str, Any]:
    noted = meta.get(tx, f"{NOTE}{job}")
    return dict(json.loads(noted)) if noted else {}


def in_turn(deeds: Sequence[Deed], first: str) -> list[Deed]:
    """Give deeds in order, beginning with `first`, where the last run stopped; what is urgent always comes first."""
    order = sorted(deeds, key=lambda each: each.key)
    urgent = [each for each in order if each.work in (Work.DROP, Work.FREEZE)]
    rest = [each for each in order if each not in urgent]
    return [
        *urgent,
        *(each for each in rest if each.key >= first),
        *(each for each in rest if each.key < first),
    ]


@dataclass(frozen=True)
class Optimising:
    """The work of one run or rehearsal; every method gives plain data."""

    job: OptimizeDatabase
    ports: UpkeepPorts
    note: dict[str, Any]
    now: float
    log: Callable[[str], None]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_began", self.ports.clock.monotonic())

    def spent(self) -> float:
        """Seconds since the work began."""
        began: float = self._began  # type: ignore[attr-defined]
        return self.ports.clock.monotonic() - began

    def over(self) -> bool:
        """Whether the time is up."""
        return self.spent() >= self.job.budget

    async def look_again(self, looked: dict[str, Any]) -> dict[str, Any]:
        """Look again after the vacuum; when the time is up, what was seen before must do."""
        return looked if self.over() else await self.look()

    async def look(self) -> dict[str, Any]:
        """Look into every database; one that cannot be looked into is a fault, and spares the others."""
        total: dict[str, Any] = {"ailments": [], "deeds": [], "figures": {}, "uses": {}, "faults": {}}
        for name in self._names():
            try:
                found = await self._look(name)
            except PostgresError as fault:
                total["faults"][name] = f"{name}: {fault}"
                continue
            total["ailments"] += [each.to_json() for each in found.ailments]
            total["deeds"] += [each.to_json() for each in found.deeds]
            total["figures"][name] = found.figures
            total["uses"] |= found.uses
        return total

    def _names(self) -> list[str]:
        unknown = [each for each in self.job.databases if each not in self.ports.databases]
        if unknown:
            known = ", ".join(self.ports.databases) or "none"
            raise JobFailed(
                f"no database is called {', '.join(unknown)}", hint=f"known: {known}", retry=False
            )
        names = self.job.databases or list(self.ports.databases)
        if not names:
            raise JobFailed("no database is configured", hint="databases: {NAME: {dsn: ...}}", retry=False)
        return names

    def _dsn(self, name: str) -> Dsn:
        return Dsn.parse(self.ports.databases[name].reveal())

    async def _look(self, name: str) -> Survey:
        began = self.spent()
        seen = {key: (count, since) for key, (count, since) in self.note.get("uses", {}).items()}
        surveyor = Surveyor(
            self.job.thresholds,
            self.now,
            lambda: self.spent() - began >= SHARE * self.job.budget,
            seen,
            self.job.drop_duplicates,
        )
        async with session(self._dsn(name), self.job.lock_timeout) as opened:
            return await surveyor.look(opened, name)

    async def carry_out(self, deed: Deed) -> dict[str, Any]:
        """Do one deed, for no longer than there is time."""
        spent = self.spent()
        within = max(1.0, min(self.job.statement_timeout, self.job.budget - spent))
        late = within < self.job.statement_timeout and spent > LATE * self.job.budget
        try:
            async with session(self._dsn(deed.database), self.job.lock_timeout) as opened:
                done = await carry_out(opened, deed, within, self.log)
                return {**done, "late": late and "too_long" in done}
        except PostgresError as fault:
            self.log(f"{deed.database}: {deed.target}: {fault.what}")
            return {"done": False, "freed": 0, "why": fault.what, "late": False}
