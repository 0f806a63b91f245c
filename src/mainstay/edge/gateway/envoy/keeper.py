"""Keeps one Envoy running: starts it again when it falls, has it take over changes, and ends it in order."""

import asyncio
import logging
import os
import signal
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.edge.gateway.envoy.admin import ACTIVE, ALWAYS, VERSIONS, WARMING, Admin
from mainstay.edge.gateway.envoy.origins import Origins
from mainstay.edge.gateway.envoy.plan import Plan
from mainstay.edge.gateway.envoy.shelf import Shelf
from mainstay.ports.clock import Clock
from mainstay.ports.postgres.child import Child, child

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
HEALTHY_AFTER = 60.0
"""Seconds after which a running Envoy is taken for healthy: its next fall counts as the first."""
SETTLES_WITHIN = 20.0
"""Seconds that Envoy may take for a change; it waits as long for what it cannot have at its start."""
LOOK_EVERY = 0.05
EXPLAINS_IN = 10
"""Looks after which Envoy has said what it has to say."""
ENDS_WITHIN = 5.0
"""Seconds that Envoy has to end when nothing is under way any more."""
GENERATIONS = 4
"""Changes for which the ways of before go on to be known: the edge may have refused a change that Envoy took."""
MOST_SILENT = 3
"""Unanswered questions in a row after which an Envoy is ended and started anew."""
LEVELS = {"critical": logging.CRITICAL, "error": logging.ERROR, "warning": logging.WARNING}
UNLIMITED = "There is no configured limit to the number of allowed active downstream connections"
"""What Envoy says of a limit of its own: ours is another one."""
SHELL = ("Killed", "Terminated")
"""What the shell between us says at its end."""
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What of our environment Envoy gets; secrets may be among the rest."""


@dataclass(frozen=True, slots=True)
class Running:
    """An Envoy that was started."""

    child: Child
    admin: Admin
    ended: "asyncio.Task[int]"


class Keeper:
    """One Envoy. `run` it as a task, `take` what it is to do, `end` it, and cancel the task."""

    def __init__(self, program: Path, shelf: Shelf, clock: Clock, workers: int) -> None:
        self.trouble: str | None = "Envoy starts"
        """Why it does not do its work; None when it does."""
        self.starts = 0
        self._program = program
        self._shelf = shelf
        self._clock = clock
        self._workers = workers
        self._plan = Plan()
        self._origins = Origins()
        self._past: deque[Plan] = deque(maxlen=GENERATIONS)
        self._running: Running | None = None
        self._said: deque[str] = deque(maxlen=60)
        """What Envoy said last: since its start, or since the last change."""
        self._settled = self._ending = False
        self._hung = asyncio.Event()
        self._silent = 0

    # --- what it is to do

    async def take(self, plan: Plan) -> None:
        """Have it do this from now on, or from its start on.

        Raises `MainstayError` when it refuses; then all is as it was.
        """
        if plan == self._plan:
            return
        before, self._plan = self._plan, plan
        past = [each for each in (before, *self._past) if each.ways]
        try:
            await self._put(plan, past)
        except MainstayError:
            self._plan = before
            await self._put(before, list(self._past), wait=False)
            raise
        if before.ways:
            self._past.appendleft(before)
        self._tell()

    def renew_certificates(self) -> None:
        """Have it read the certificates again."""
        self._shelf.renew_certificates()

    async def reopen_log(self) -> None:
        """Have it write its access log into a new file."""
        if self._running is not None:
            await self._running.admin.post("/reopen_logs")

    async def _put(self, plan: Plan, past: list[Plan], *, wait: bool = True) -> None:
        """Write everything; an Envoy that runs takes one kind after the other, so that each finds what it needs."""
        running = self._running if wait and self._settled else None
        refused = _refused(await running.admin.stats()) if running else {}
        self._said.clear()
        self._shelf.version += 1
        for kind, resources in plan.resources(past).items():
            if (
                resources or kind in ALWAYS
            ):  # what nobody wants any more is wanted until the listener has changed
                self._shelf.put(kind, resources)
            if running is not None and kind in ("clusters", "listeners"):
                kinds = ["clusters"] if kind == "clusters" else list(VERSIONS)
                await self._in_force(running, kinds, refused)

    async def _in_force(self, running: Running, kinds: list[str], refused: Mapping[str, int]) -> None:
        """Wait until what is written is in force. Raises `MainstayError` when it is refused, or takes too long."""
        kinds = [kind for kind in kinds if kind in ALWAYS or self._plan.fixed.get(kind)]
        version = str(self._shelf.version)
        until = self._clock.monotonic() + SETTLES_WITHIN
        while self._clock.monotonic() < until and not running.ended.done():
            found = await _stats(running.admin)
            if any(count > refused.get(kind, 0) for kind, count in _refused(found).items()):
                raise MainstayError(await self._explained("Envoy refuses its configuration", "rejected"))
            versions = {found.get(f"{VERSIONS[kind]}.version_text") for kind in kinds}
            if versions == {version} and found.get(WARMING) == 0:
                return
            await self._clock.sleep(LOOK_EVERY)
        if running.ended.done():
            raise MainstayError(await self._explained(f"Envoy {_fate(running.ended.result())}", "critical"))
        raise MainstayError("Envoy does not take its configuration over")

    def _tell(self) -> None:
        marks = {mark for plan in (self._plan, *self._past) for mark in plan.ways}
        if self._settled:
            self._shelf.tell(marks)

    # --- life

    async def run(self) -> None:
        """Keep it running, until `end`."""
        pause = FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            try:
                await self._once()
            except MainstayError as fault:
                self.trouble = str(fault)
            if self._ending:
                return
            if self._clock.monotonic() - began >= HEALTHY_AFTER:
                pause = FIRST_PAUSE
            logger.error("%s; again in %.1f s", self.trouble, pause)
            await self._clock.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _once(self) -> None:
        """Run it to its end. Raises `MainstayError` that says why it ended."""
        directory = self._shelf.directory
        argv = [
            str(self._program), "-c", str(directory / "bootstrap.json"), "--concurrency", str(self._workers),
            "--log-level", "warning", "--log-format", "%l %v", "--disable-hot-restart",
            "--drain-strategy", "immediate", "--file-flush-interval-msec", "1000",
        ]  # fmt: skip
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        await self._end_leftover()
        self._said.clear()
        self.starts += 1
        self._silent = 0
        self._hung.clear()
        async with (
            child(argv, env=env, cwd=directory, end="KILL", on_line=self._hear) as started,
            Admin(self._shelf.socket) as admin,
        ):
            running = Running(started, admin, asyncio.create_task(started.process.wait()))
            self._running = running
            try:
                await self._in_force(running, list(VERSIONS), {})
                self.trouble = None
                self._settled = True
                self._tell()
                logger.info("Envoy serves")
                await self._until_it_ends(running)
            finally:
                self._settled = False
                self._running = None
                running.ended.cancel()

    async def _end_leftover(self) -> None:
        """End an Envoy that outlived whoever ran it: it would take its share of the connections, by an old plan."""
        async with Admin(self._shelf.socket) as admin:
            with suppress(MainstayError):
                await admin.post("/quitquitquit")
                logger.warning("an Envoy of before was still there, and was ended")
        self._shelf.socket.unlink(missing_ok=True)

    async def _until_it_ends(self, running: Running) -> None:
        hung = asyncio.create_task(self._hung.wait())
        await asyncio.wait({running.ended, hung}, return_when=asyncio.FIRST_COMPLETED)
        hung.cancel()
        if not running.ended.done():
            raise MainstayError("Envoy says nothing and was ended")
        raise MainstayError(await self._explained(f"Envoy {_fate(running.ended.result())}", "critical"))

    def _hear(self, line: str) -> None:
        """Put what Envoy says into our own log."""
        self._said.append(line)
        level, _, text = line.partition(" ")
        if level not in LEVELS:
            level, text = "warning", line
        if text and text not in SHELL and not text.startswith(UNLIMITED):
            logger.log(LEVELS[level], "envoy: %s", text)

    async def _explained(self, what: str, word: str) -> str:
        """Say what happened, and what Envoy said last with this word in it: it may be on its way to us."""
        for _ in range(EXPLAINS_IN):
            lines = [line for line in self._said if word in line]
            if lines:
                return f"{what}: {lines[-1].partition(' ')[2]}"
            await self._clock.sleep(LOOK_EVERY)
        return what

    async def look(self) -> None:
        """Ask whether it is well; one that says nothing again and again is ended."""
        if self._running is None or not self._settled:
            return
        try:
            live = await self._running.admin.live()
        except MainstayError as fault:
            self._silent += 1
            self.trouble = str(fault)
            if self._silent >= MOST_SILENT:
                self._hung.set()
            return
        self._silent = 0
        self.trouble = None if live else "Envoy does not serve"

    async def end(self, patience: float) -> bool:
        """Take no more connections, let what is under way finish, and end; False when somebody had to be cut off."""
        running, self._ending = self._running, True
        if running is None:
            return True
        clean = await self._drained(running, patience)
        with suppress(MainstayError):
            await running.admin.post("/quitquitquit")
            patient = asyncio.create_task(self._clock.sleep(ENDS_WITHIN))
            await asyncio.wait({running.ended, patient}, return_when=asyncio.FIRST_COMPLETED)
            patient.cancel()
        return clean

    async def _drained(self, running: Running, patience: float) -> bool:
        until = self._clock.monotonic() + patience
        with suppress(MainstayError):
            # From now on every answer says that it is the last one of its connection.
            await running.admin.post("/healthcheck/fail")
            await running.admin.post("/drain_listeners")
            while (await running.admin.stats()).get(ACTIVE, 0):
                if self._clock.monotonic() >= until:
                    return False
                await self._clock.sleep(LOOK_EVERY)
        return True

    # --- for people

    async def origins(self) -> list[dict[str, Any]]:
        """Give how the origins of every route are; nothing while that cannot be said."""
        if self._running is None:
            return []
        try:
            clusters = await self._running.admin.clusters()
        except MainstayError:
            return []
        return self._origins.take(self._plan.shown, clusters, self._clock.now())


async def _stats(admin: Admin) -> Mapping[str, Any]:
    """Give its numbers; none while it does not answer yet."""
    try:
        return await admin.stats()
    except MainstayError:
        return {}


def _refused(stats: Mapping[str, Any]) -> dict[str, int]:
    return {kind: stats.get(f"{name}.update_rejected", 0) for kind, name in VERSIONS.items()}


def _fate(code: int) -> str:
    number = code - 128 if code > 128 else -code  # the shell between us says it so
    if number > 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"
