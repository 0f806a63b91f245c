"""A function of an installed Python package."""

import asyncio
import importlib
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from pydantic import Field

from mainstay.core.errors import MainstayError
from mainstay.core.secret import redact
from mainstay.core.units import format_duration
from mainstay.edge.delivery.parcel import End, Outcome, Parcel
from mainstay.edge.delivery.targets.base import Deliver, Target, Tools, clip
from mainstay.ports.threads import Threads

log = logging.getLogger(__name__)

GROUP = "mainstay.targets"


class Never(Exception):
    """Raised by a target's function: it will never take this event, which becomes a dead letter at once."""


class EntryPointTarget(Target, type="entry_point", shorthand="call"):
    """Calls a Python function with the event (`mainstay.edge.delivery.parcel.Parcel`), in a thread of the agent.

    When it returns, the event is taken. When it raises, the event is tried again; when it raises
    `mainstay.edge.delivery.targets.entry_point.Never`, the event is a dead letter. It may be an `async def`. A thread
    cannot be killed: a call that outlives `timeout` counts as failed and goes on, so the next attempt may run beside
    it.
    """

    call: str = Field(pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?$", examples=["invoices.hooks:on_payment"])
    """`MODULE:FUNCTION` of a package in mainstay's own environment, or the name of an entry point of the group
    `mainstay.targets`."""

    def place(self) -> str:
        return self.call

    @asynccontextmanager
    async def opened(self, tools: Tools, many: int) -> AsyncIterator[Deliver]:
        # Twice as many threads as attempts: those of calls that hang must not stop all the others at once.
        caller = _Caller(self, load(self.call), Threads(2 * many, f"target {self.call}"))
        yield caller.deliver


class _Caller:
    """Calls one function."""

    def __init__(self, target: EntryPointTarget, function: Callable[[Parcel], Any], threads: Threads) -> None:
        self._target = target
        self._function = function
        self._threads = threads

    async def deliver(self, parcel: Parcel) -> Outcome:
        try:
            async with asyncio.timeout(self._target.timeout):
                said = await self._threads.call(lambda: self._call(parcel))
        except TimeoutError:
            waited = format_duration(self._target.timeout)
            return Outcome(End.LATER, f"{self._target.call} did not return within {waited}", sick=True)
        return said

    def _call(self, parcel: Parcel) -> Outcome:
        """Runs in a thread. A time-out of the function's own is not one of ours, so it is caught here."""
        try:
            given = self._function(parcel)
            if inspect.iscoroutine(given):
                given = asyncio.run(given)
        except Never as fault:
            return Outcome(End.NEVER, clip(redact(str(fault))) or "it will never take this")
        except (Exception, SystemExit) as fault:
            log.warning("the target %s raised %s", self._target.call, type(fault).__name__)
            detail = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
            return Outcome(End.LATER, clip(redact(detail)), sick=True)
        return Outcome(End.DONE, clip(redact(str(given))) if given is not None else "returned")


def load(name: str) -> Callable[[Parcel], Any]:
    """Give the function that `name` stands for. Raises `MainstayError` when there is none."""
    try:
        found = _import(name) if ":" in name else _entry(name)
    except MainstayError:
        raise
    except Exception as fault:  # importing runs other people's code
        what = f"the target {name} cannot be imported: {type(fault).__name__}: {redact(str(fault))}"
        raise MainstayError(what, hint="is its package installed beside mainstay?") from None
    if not callable(found):
        raise MainstayError(f"the target {name} is not a function", hint="write MODULE:FUNCTION")
    return cast("Callable[[Parcel], Any]", found)


def _import(name: str) -> Any:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _entry(name: str) -> Any:
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    raise MainstayError(
        f"no installed package has the entry point {name} of the group {GROUP}", hint="write MODULE:FUNCTION"
    )
