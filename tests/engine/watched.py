"""Checks that answer what a test says, and somewhere for the answers to go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from mainstay.core.check import Answer, Check, Place, Result, Verdict
from mainstay.engine.watch import Sink, Watch, Watched, WatchSettings
from mainstay.ports.clock import Clock, FakeClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.resolver import Resolver

Behaviour = Answer | Exception | Verdict | Callable[[], Any]


class Scripted(Check):
    """Answers `script` word by word; the last word is repeated for ever."""

    script: Any = Verdict.OK
    where: str | None = None

    def host(self) -> str | None:
        return self.where

    def target(self) -> str:
        return self.where or "a script"

    async def probe(self, place: Place) -> Answer:
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(said):
            said = await said()
        if isinstance(said, Exception):
            raise said
        return Answer(said, said.value) if isinstance(said, Verdict) else said


def scripted(*words: Behaviour, where: str | None = None, **options: Any) -> Scripted:
    return Scripted.model_construct(script=list(words), where=where, **options)


def watched(id: str, check: Check) -> Watched:
    return Watched(id, id.partition("/")[0], check)


class Desk:
    """Keeps every batch; `faults` are raised first, one for each delivery."""

    def __init__(self) -> None:
        self.batches: list[list[Result]] = []
        self.faults: list[Exception] = []

    async def take(self, batch: list[Result]) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(batch)

    @property
    def results(self) -> list[Result]:
        return [result for batch in self.batches for result in batch]

    def of(self, id: str) -> list[Result]:
        return [result for result in self.results if result.check == id]


class Running:
    """A watch that serves until the block ends."""

    def __init__(self, clock: Clock, checks: Iterable[Watched], sink: Sink, **settings: Any) -> None:
        self.watch = Watch(clock, here(clock), checks, sink, WatchSettings(**settings))

    async def __aenter__(self) -> Watch:
        self.task = asyncio.ensure_future(self.watch.serve())
        return self.watch

    async def __aexit__(self, *exc: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def here(clock: Clock) -> LocalPlace:
    return LocalPlace(clock, Resolver(clock))


def verdicts(results: Iterable[Result]) -> list[tuple[str, bool]]:
    return [(result.verdict.value, result.confirmed) for result in results]


__all__ = ["Desk", "FakeClock", "Running", "Scripted", "here", "scripted", "verdicts", "watched"]
