"""The process in which a function of the user's own is called: `python -m mainstay.upkeep.own.call`, told by stdin."""

import asyncio
import importlib
import inspect
import json
import sys
import traceback
from typing import Any


def call(name: str, arguments: dict[str, Any]) -> Any:
    """Call `MODULE:FUNCTION`; give what it returns."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    given = found(**arguments)
    return asyncio.run(_await(given)) if inspect.isawaitable(given) else given


async def _await(given: Any) -> Any:
    return await given


def main() -> int:
    """Call what standard input says. Exit code 1 when it raises, its last line saying what."""
    told = json.load(sys.stdin)
    try:
        given = call(told["call"], told["arguments"])
    except Exception as fault:
        traceback.print_exc(file=sys.stdout)
        sys.stdout.write(f"{type(fault).__name__}: {fault}\n")
        return 1
    if given is not None:
        sys.stdout.write(f"{given}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
