"""One pass over every check."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from mainstay.core.check import Result, Verdict
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.units import Duration

CODES = {Verdict.FAIL: 1, Verdict.UNKNOWN: 3}
"""What `mainstay run` ends with when the worst answer is this; 0 for all others."""


@dataclass(frozen=True)
class HealthPorts:
    """What a pass needs: the names of all checks, how one is asked, and where answers go."""

    checks: Sequence[str]
    ask: Callable[[str], Awaitable[list[Result]]]
    record: Callable[[list[Result]], Awaitable[object]]


class HealthCheck(Job, type="health_check"):
    """Ask every check once, and record the answers: incidents open and end as they do when the agent asks.

    The agent asks all the time; this is for other schedulers and for scripts. `mainstay run health_check` ends with 0
    when nothing fails, 1 when something does, 3 when something could not be found out. Messages that an incident owes
    are sent by the agent.
    """

    steps: ClassVar[tuple[str, ...]] = ("ask",)

    timeout: Duration = 30.0
    """A run that takes longer is stopped and counts as failed."""
    within: Duration = 25.0
    """Seconds after which checks that have not answered count as unknown."""
    retries: int = 0
    """How often a failed run is tried again, with growing pauses."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when it is due while it still runs: left out, or run afterwards."""
    catch_up: Literal["all", "last", "none"] = "none"
    """What is done about due times at which nobody was there: run for each of them, oldest first; run once for all
    of them; or nothing."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(HealthPorts)
        if not ports.checks:
            raise JobFailed("no check is configured", hint="services: {web: {checks: [...]}}", retry=False)
        data = await run.step("ask", lambda: self._ask(run, ports))
        return Outcome(str(data.pop("summary")), data)

    async def _ask(self, run: RunContext, ports: HealthPorts) -> dict[str, object]:
        asked = {name: asyncio.ensure_future(ports.ask(name)) for name in ports.checks}
        timer = asyncio.ensure_future(run.sleep(self.within))
        everything = asyncio.ensure_future(asyncio.wait(asked.values()))
        try:
            await asyncio.wait({everything, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            late = sorted(name for name, task in asked.items() if not task.done())
            for task in (timer, everything, *asked.values()):
                task.cancel()
            await asyncio.gather(timer, everything, *asked.values(), return_exceptions=True)
        results = [result for name, task in asked.items() if name not in late for result in task.result()]
        await ports.record(results)
        return self._tell(run, results, late)

    def _tell(self, run: RunContext, results: list[Result], late: list[str]) -> dict[str, object]:
        for result in results:
            if result.verdict is not Verdict.OK:
                run.log(f"{result.check}: {result.verdict}: {result.detail}")
        for name in late:
            run.log(f"{name}: no answer within {self.within:g} s")
        counts = Counter(result.verdict for result in results)
        counts[Verdict.UNKNOWN] += len(late)
        code = next((number for verdict, number in CODES.items() if counts[verdict]), 0)
        parts = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
        bad = [result.check for result in results if result.verdict is Verdict.FAIL]
        named = f": {', '.join(bad[:5])}" if bad else ""
        summary = f"{len(results) + len(late)} checks, {', '.join(parts)}{named}"
        return {
            "summary": summary,
            "exit_code": code,
            "checks": len(results) + len(late),
            "failed": bad,
            "late": late,
        }
