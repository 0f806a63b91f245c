"""What jobs of the user's own have in common: environment and secrets, output, a heartbeat to somebody outside."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.secret import Secret, SecretUrl
from mainstay.upkeep.own.heartbeat import beat

LONGEST_SUMMARY = 200
"""Characters of a program's last line that the run's summary shows."""
SPENT = 1.0
"""Seconds before its time-out from which a run that is stopped is taken to be stopped for time."""


class OwnJob(Job):
    """Runs something that is not mainstay's. What it writes is the run's log: `mainstay logs JOB`."""

    steps: ClassVar[tuple[str, ...]] = ("run",)

    critical: bool = False
    """Whether its failure wakes people; else it is told to those who hear of everything."""
    env: dict[str, str | Secret] = {}
    """Environment variables: values, or secrets by name. Secrets are masked wherever they appear in the output."""
    heartbeat: SecretUrl | None = None
    """An address that is asked (GET) after every success; `heartbeat_failed` after the last try has failed. For a
    service elsewhere that notices when nothing comes."""
    heartbeat_failed: SecretUrl | None = None
    """The address that is asked after a failure; `/fail` at the end of `heartbeat` when left out."""

    async def work(self, run: RunContext) -> dict[str, Any]:
        """Do it; give `last`, the last line that was written, and figures. Raise `JobFailed`."""
        raise NotImplementedError

    async def run(self, run: RunContext) -> Outcome:
        began = run.now()
        try:
            done = await run.step("run", lambda: self.work(run))
        except JobFailed as fault:
            if run.attempt > self.retries or not fault.retry:
                await self._tell(run, well=False)
            raise
        except asyncio.CancelledError:
            late = run.now() - began >= self.timeout - SPENT
            if late and run.attempt > self.retries:
                await self._tell(run, well=False)
            raise
        await self._tell(run, well=True)
        return Outcome(str(done["last"])[:LONGEST_SUMMARY] or "done, without a word", done)

    async def _tell(self, run: RunContext, *, well: bool) -> None:
        url = self.heartbeat if well else self.heartbeat_failed or self.heartbeat
        if url is None:
            return
        address = url.reveal()
        if not well and self.heartbeat_failed is None:
            address = address.rstrip("/") + "/fail"
        await beat(run, address)

    def variables(self, run: RunContext) -> dict[str, str]:
        """Give the variables that the program gets besides the usual ones."""
        own = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in self.env.items()
        }
        known = {
            "MAINSTAY_JOB": run.job,
            "MAINSTAY_RUN": run.id,
            "MAINSTAY_DUE_AT": f"{datetime.fromtimestamp(run.due_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "MAINSTAY_ATTEMPT": str(run.attempt),
            "MAINSTAY_ARGS": json.dumps(dict(run.args)),
        }
        return {**own, **known}


def ended(code: int, last: str, what: str) -> dict[str, Any]:
    """Give the figures of a program that ended well. Raises `JobFailed` with its last words for any other code."""
    if code == 0:
        return {"last": last, "code": code}
    how = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
    raise JobFailed(f"{what} {how}" + (f": {last}" if last else ""))


def cannot(program: str, fault: OSError, directory: Path | None = None) -> JobFailed:
    """Make an error of a program that cannot be started."""
    where = f" in {directory}" if directory is not None and not directory.is_dir() else ""
    reason = (fault.strerror or str(fault)).lower()
    return JobFailed(
        f"cannot run {program}{where}: {reason}", hint="is the path right, and is it executable?"
    )
