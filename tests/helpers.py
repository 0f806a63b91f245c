"""Waiting on real conditions, and running the real command."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, overload

from tools import compiled

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.05
# The second one makes every start of Python compile all that it imports.
SLOW_OR_OURS = frozenset({"CREDENTIALS_DIRECTORY", "PYTHONDONTWRITEBYTECODE"})


class NeverHappened(AssertionError):
    """A condition that a test waited for did not come true in time."""


def _complaint(
    predicate: Callable[..., object], deadline: float, last: object, error: Exception | None
) -> str:
    name = getattr(predicate, "__qualname__", repr(predicate))
    seen = f"raised {error!r}" if error else f"was {last!r}"
    return f"{name} did not come true within {deadline} s, last it {seen}"


def eventually(predicate: Callable[[], T], deadline: float = 10.0) -> T:
    """The first truthy value of `predicate`, asked again and again for at most `deadline` seconds.

    An exception counts as "not yet". Raises `NeverHappened`, which says what was seen last.
    """
    end = time.monotonic() + deadline
    pause = FIRST_PAUSE
    while True:
        last, error = _attempt(predicate)
        if last and error is None:
            return last
        if time.monotonic() >= end:
            raise NeverHappened(_complaint(predicate, deadline, last, error)) from error
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _attempt(predicate: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return predicate(), None
    except Exception as error:
        return None, error


@overload
async def aeventually(predicate: Callable[[], Awaitable[T]], deadline: float = 10.0) -> T: ...


@overload
async def aeventually(predicate: Callable[[], T], deadline: float = 10.0) -> T: ...


async def aeventually(predicate: Callable[[], object], deadline: float = 10.0) -> object:
    """`eventually` for a running event loop; `predicate` may be a coroutine function."""
    end = time.monotonic() + deadline
    pause = FIRST_PAUSE
    while True:
        last: object = None
        error: Exception | None = None
        try:
            value = predicate()
            last = await value if inspect.isawaitable(value) else value
        except Exception as failure:
            error = failure
        if last and error is None:
            return last
        if time.monotonic() >= end:
            raise NeverHappened(_complaint(predicate, deadline, last, error)) from error
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def bare_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would slow down or change a child: coverage, our own variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE_", "COV_CORE_", "PYTEST_", "MAINSTAY_"))
        and name not in SLOW_OR_OURS
    }
    return kept | extra


def installed_environment(**extra: str) -> dict[str, str]:
    """`bare_environment` in which the package is the one that gets installed, with compiled modules."""
    return bare_environment(PYTHONPATH=str(compiled.tree()), **extra)


def mainstay(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    deadline: float = 60.0,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a process of its own; its output is text, its exit code is not judged.

    `env` is laid over this process's environment.
    """
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
        input=stdin,
    )


def command(*arguments: str) -> Sequence[str]:
    """The argument list which starts mainstay with this very Python."""
    return [sys.executable, "-m", "mainstay", *arguments]
