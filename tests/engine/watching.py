"""A process that watches: reads a plan from its standard input, writes every result to its standard output.

The plan is JSON: `checks`, a list of options of http checks; `stall`, the seconds that count as one.
"""

from __future__ import annotations

import asyncio
import json
import sys

from mainstay.checks import HttpCheck
from mainstay.core.check import Result
from mainstay.engine import guard
from mainstay.engine.watch import Watch, Watched
from mainstay.ports.clock import SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.resolver import Resolver


async def tell(batch: list[Result]) -> None:
    for result in batch:
        print(json.dumps([result.check, result.verdict, result.confirmed, result.detail]), flush=True)


async def main() -> None:
    plan = json.load(sys.stdin)
    guard.Pulse.__init__.__defaults__ = (guard.BEAT, plan["stall"])
    clock = SystemClock()
    checks = [Watched(f"s/{n}", "s", HttpCheck.model_validate(each)) for n, each in enumerate(plan["checks"])]
    await Watch(clock, LocalPlace(clock, Resolver(clock)), checks, tell).serve()


if __name__ == "__main__":
    asyncio.run(main())
