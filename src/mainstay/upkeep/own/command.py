"""A program on this machine, by the clock."""

from pathlib import Path
from typing import Any

from pydantic import Field

from mainstay.core.job import Look, RunContext
from mainstay.core.secret import redact
from mainstay.ports.program import Lines, run_program
from mainstay.upkeep.own.base import OwnJob, cannot, ended


class CommandJob(OwnJob, type="command", shorthand="command"):
    """Run a program of your own, without a shell; exit code 0 is success.

    Besides `env` it gets what mainstay itself has in its environment, but for `MAINSTAY_*`, and `MAINSTAY_JOB`,
    `MAINSTAY_RUN`, `MAINSTAY_DUE_AT` (UTC), `MAINSTAY_ATTEMPT` and `MAINSTAY_ARGS` (JSON: what
    `--arg` of `mainstay run` gave).
    After `timeout` its process group is asked to end, and killed five seconds later. When mainstay is killed so is the
    program, and the run begins anew: it should be safe to repeat.
    """

    command: list[str] = Field(min_length=1, examples=[["/usr/local/bin/rates", "--all"]])
    """Program and arguments. Anybody on the machine can read arguments: secrets belong into `env`."""
    directory: Path | None = Field(default=None, strict=False)
    """Working directory; mainstay's own when left out."""

    async def work(self, run: RunContext) -> dict[str, Any]:
        """Run it."""
        lines = Lines(run.log)
        try:
            code = await run_program(self.command, env=self.variables(run), lines=lines, cwd=self.directory)
        except OSError as fault:
            raise cannot(self.command[0], fault, self.directory) from None
        return ended(code, lines.last, Path(self.command[0]).name)

    async def foresee(self, look: Look) -> list[str]:
        """Say what would be run."""
        where = f" in {self.directory}" if self.directory else ""
        return [redact(f"{' '.join(self.command)}{where}")]
