"""A function of an installed Python package, by the clock."""

import json
import sys
from typing import Any

from pydantic import Field

from mainstay.core.job import Look, RunContext
from mainstay.ports.program import Lines, run_program
from mainstay.upkeep.own.base import OwnJob, ended


class EntryPointJob(OwnJob, type="entry_point", shorthand="entry_point"):
    """Call a Python function of your own, `def` or `async def`, in a process of its own.

    When it returns, the run is done; what it returns is the run's last line. When it raises, the run has failed. The
    process has the same environment as that of a `command` job.
    """

    entry_point: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", examples=["invoices.nightly:close_day"]
    )
    """`MODULE:FUNCTION` of a package in mainstay's own environment."""
    arguments: dict[str, Any] = {}
    """Its keyword arguments; those of `--arg` come on top."""

    async def work(self, run: RunContext) -> dict[str, Any]:
        """Call it."""
        lines = Lines(run.log)
        told = json.dumps({"call": self.entry_point, "arguments": {**self.arguments, **run.args}}).encode()
        argv = [sys.executable, "-m", "mainstay.upkeep.own.call"]
        env = {**self.variables(run), "PYTHONUNBUFFERED": "1"}
        code = await run_program(argv, env=env, lines=lines, stdin=told)
        return ended(code, lines.last, self.entry_point)

    async def foresee(self, look: Look) -> list[str]:
        """Say what would be called."""
        given = ", ".join(f"{name}={value!r}" for name, value in {**self.arguments, **look.args}.items())
        return [f"{self.entry_point}({given})"]
