"""The job `security_patches`."""

import json
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from mainstay.core.errors import MainstayError
from mainstay.core.job import Job, Look, Outcome, RunContext
from mainstay.core.paths import ConfigPath
from mainstay.core.schedule import Cron
from mainstay.core.units import Duration, format_duration
from mainstay.store import meta
from mainstay.store.base import Tx
from mainstay.upkeep.patches import apt, images, python, restarts, servers, versions
from mainstay.upkeep.patches.report import Report
from mainstay.upkeep.patches.versions import Running
from mainstay.upkeep.patches.weakness import SYSTEM_PACKAGES, Level, Weakness, aged, unknown
from mainstay.upkeep.patches.window import Day, Hours, within
from mainstay.upkeep.ports import UpkeepPorts

NOTE = "patches:"
"""The journal's note (in `meta`) of a job: what it knows of, and since when."""
A_WEEK = 7 * 86400.0


def _product(name: str) -> str:
    if name not in versions.table():
        raise ValueError(f"no table knows {name}; known: {', '.join(versions.table())}")
    return name


class SecurityPatches(Job, type="security_patches"):
    """Finds security updates that are missing and installs them where it may; looks for known holes elsewhere.

    It looks at the packages of Debian and Ubuntu, at Python environments (https://osv.dev), at images (trivy), and at
    versions of systems and servers that get no fixes any more. What it could not look at is unknown, never clean.
    """

    steps: ClassVar[tuple[str, ...]] = (
        "refresh",
        "apply",
        "packages",
        "python",
        "images",
        "versions",
        "restarts",
    )

    at: Cron | None = "30 3 * * *"
    """When it is due, as five cron fields."""
    apply: Literal["never", "security"] = "never"
    """`security`: missing security updates are installed, but for packages on hold. Changed configuration files stay
    as they are, and nothing is ever removed. It needs root."""
    leave: list[str] = Field(default=[], examples=[["postgresql-*", "docker.io"]])
    """Packages that are never installed here, as shell patterns: they are told of, and a person chooses the hour."""
    window: Hours | None = None
    """When it may install, in local time; at any time when left out."""
    days: list[Day] = []
    """On which days it may install; on every day when left out. A window past midnight belongs to the day it begins."""
    overdue: Duration = A_WEEK
    """A hole that could be closed but is open for so long is critical, and wakes people."""
    stale: Duration = A_WEEK
    """Package lists that are older say nothing: whether updates are missing is unknown then."""
    environments: list[ConfigPath] = []
    """Python environments to look at, besides mainstay's own."""
    osv: str | None = Field(default="https://api.osv.dev", pattern=r"^https?://\S+[^/]$")
    """Where known holes of Python packages are asked for: names and versions are sent there. `null` asks nobody."""
    images: Literal["running", "none"] | list[str] = "running"
    """Images to scan with trivy: those of running containers, a list of names, or none."""
    versions: dict[Annotated[str, AfterValidator(_product)], str] = {}
    """Versions that cannot be asked for, by product, such as `odoo: "17.0"`."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when it is due while it still runs: left out, or run afterwards."""
    timeout: Duration = 2 * 3600.0
    """A run that takes longer is stopped and counts as failed; an installation that was begun goes on."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(UpkeepPorts)
        work = Patches(self, ports, run.log)
        trouble = await run.step("refresh", work.refresh)
        applied = await run.step("apply", partial(work.apply, run.now()))
        found: list[dict[str, Any]] = []
        looked: dict[str, int] = {}
        for name, look in work.looks(run.now(), trouble):
            one = await run.step(name, look)
            found += one["weaknesses"]
            looked |= one["looked"]
        weaknesses = [Weakness.from_json(each) for each in [*applied["weaknesses"], *found]]
        report = await ports.store.write(
            lambda tx: self._remember(tx, run.job, weaknesses, applied["applied"], looked, run.now())
        )
        for each in report.weaknesses:
            run.log(f"{each.level}: {each.words}" + (f" ({each.fix})" if each.fix else ""))
        return Outcome(report.summary, report.to_json())

    async def foresee(self, look: Look) -> list[str]:
        lines: list[str] = []
        ports = look.get(UpkeepPorts)
        work = Patches(self, ports, lines.append)
        if not apt.has_apt():
            return ["this machine has no apt; it would look at Python, images and versions"]
        waiting = [each for each in await apt.pending() if each.security]
        for each in waiting:
            obstacle = work.obstacle(each, look.now())
            deed = "would be installed" if obstacle is None else f"stays, {obstacle}"
            lines.append(f"{each.name} {each.installed} -> {each.candidate}: {deed}")
        return lines or ["no security update is missing, as far as the lists of packages know"]

    def _remember(
        self, tx: Tx, job: str, found: list[Weakness], applied: list[str], looked: dict[str, int], now: float
    ) -> Report:
        noted = meta.get(tx, f"{NOTE}{job}")
        seen = json.loads(noted) if noted else {}
        weaknesses = aged(found, seen, now, self.overdue)
        known = {each.key: each.since for each in weaknesses}
        if any(each.level is Level.UNKNOWN for each in weaknesses):
            known = {**seen, **known}  # what nobody could look at may be open still, since when it was
        meta.put(tx, f"{NOTE}{job}", json.dumps(known))
        return Report(weaknesses, applied, looked)


class Patches:
    """The work of one run. Each look gives plain data: `weaknesses`, and what was `looked` at."""

    def __init__(self, job: SecurityPatches, ports: UpkeepPorts, log: Callable[[str], None]) -> None:
        self.job = job
        self.ports = ports
        self.log = log

    async def refresh(self) -> str | None:
        """Fetch the package lists; give why that was not possible."""
        if not apt.has_apt():
            return None
        try:
            trouble = await apt.refresh()
        except MainstayError as fault:
            trouble = str(fault)
        if trouble:
            self.log(trouble)
        return trouble

    def may_apply(self, now: float) -> str | None:
        """Say why nothing may be installed now; None when it may."""
        if self.job.apply == "never":
            return "apply is never"
        zone = self.job.timezone or self.ports.timezone
        if not within(now, zone, self.job.window, self.job.days):
            days = f" on {', '.join(self.job.days)}" if self.job.days else ""
            return f"outside of the window {self.job.window or ''}{days}".strip()
        return None

    def obstacle(self, update: apt.Update, now: float) -> str | None:
        """Say why a security update is not installed now; None when it may be."""
        if update.held:
            return "it is on hold"
        if any(fnmatchcase(update.name, pattern) for pattern in self.job.leave):
            return "it is left to people"
        return self.may_apply(now)

    async def apply(self, now: float) -> dict[str, Any]:
        """Install what is missing, if that is allowed now; a fault is a weakness, so that the rest is looked at."""
        nothing: dict[str, Any] = {"applied": [], "weaknesses": []}
        why = self.may_apply(now) if apt.has_apt() else "this machine has no apt"
        if why is not None:
            self.log(f"nothing is installed: {why}")
            return nothing
        try:
            missing = [
                each for each in await apt.pending() if each.security and self.obstacle(each, now) is None
            ]
            chosen = await apt.possible(missing, self.job.leave)
            for each in missing:
                self.log(f"{'install' if each in chosen else 'cannot install'} {each.name} {each.candidate}")
            await apt.apply(chosen)
        except MainstayError as fault:
            words = f"they could not be installed: {fault.what}"
            weak = Weakness("package", "security updates", words, Level.WARNING, fault.hint or "")
            return {**nothing, "weaknesses": [weak.to_json()]}
        return {**nothing, "applied": [f"{each.name} {each.candidate}" for each in chosen]}

    def looks(self, now: float, trouble: str | None) -> list[tuple[str, Callable[[], Any]]]:
        """Give the looks by the names of their steps."""
        return [
            ("packages", partial(self._packages, now, trouble)),
            ("python", self._python),
            ("images", self._images),
            ("versions", partial(self._versions, now)),
            ("restarts", self._restarts),
        ]

    async def _packages(self, now: float, trouble: str | None) -> dict[str, Any]:
        if not apt.has_apt():
            return _seen([unknown(SYSTEM_PACKAGES, "this machine has no apt, and nothing else is known")])
        try:
            found, at = await apt.pending(), await apt.refreshed_at()
            guarded = await apt.has_security_archive()
        except MainstayError as fault:
            return _seen([unknown(SYSTEM_PACKAGES, str(fault))])
        weak = [self._missing(each, now) for each in found if each.security]
        age = None if at is None else max(0.0, now - at)
        if trouble is None:
            age = 0.0
        if age is None or age > self.job.stale:
            old = "there are none" if age is None else f"they are {format_duration(age)} old"
            why = f"the package lists say nothing: {old}" + (f" ({trouble})" if trouble else "")
            weak.append(unknown(SYSTEM_PACKAGES, why, "apt-get update"))
        elif not guarded:
            why = "no archive of security updates is among the sources of apt"
            weak.append(unknown(SYSTEM_PACKAGES, why, "add it to /etc/apt/sources.list"))
        return _seen(weak, packages=len(found))

    def _missing(self, update: apt.Update, now: float) -> Weakness:
        """Tell of an update that is missing; quietly, while it only waits for its window."""
        obstacle = self.obstacle(update, now)
        words = f"{update.installed} is installed, {update.candidate} mends it"
        waits = self.job.apply == "security" and obstacle is not None and obstacle == self.may_apply(now)
        told = f"; {obstacle}" if obstacle and self.job.apply == "security" else ""
        fix = f"apt-mark unhold {update.name}" if update.held else f"apt-get install {update.name}"
        level = Level.NOTE if waits else Level.WARNING
        return Weakness("package", update.name, words + told, level, fix)

    async def _python(self) -> dict[str, Any]:
        weak: list[Weakness] = []
        places = [Path(sys.prefix), *self.job.environments]
        looked = 0
        for place in places:
            try:
                if self.job.osv is None:
                    raise MainstayError("nobody is asked, as osv is null")
                packages = python.installed(place)
                weak += await python.holes(self.job.osv, str(place), packages)
                looked += len(packages)
            except MainstayError as fault:
                weak.append(unknown(f"Python packages in {place}", str(fault)))
        return _seen(weak, python_packages=looked)

    async def _images(self) -> dict[str, Any]:
        if self.job.images == "none":
            return _seen([])
        names = await images.running() if self.job.images == "running" else list(self.job.images)
        if names is None:
            return _seen([])
        return _seen(await images.scan(names), images=len(names))

    async def _versions(self, now: float) -> dict[str, Any]:
        found: list[Running | Weakness | None] = [servers.system(self.ports.root)]
        found += servers.pythons(self.job.environments)
        found += [await servers.postgres(name, dsn) for name, dsn in self.ports.databases.items()]
        found += [await servers.redis(name, url) for name, url in self.ports.redis.items()]
        found += [
            Running(product, version, "as configured") for product, version in self.job.versions.items()
        ]
        running = [each for each in found if isinstance(each, Running)]
        weak = [each for each in found if isinstance(each, Weakness)]
        return _seen([*weak, *versions.judge(running, now)], versions=len(running))

    async def _restarts(self) -> dict[str, Any]:
        try:
            return _seen(await restarts.restarts(self.ports.root))
        except MainstayError as fault:
            return _seen([unknown("restarts", str(fault))])


def _seen(weaknesses: list[Weakness], **looked: int) -> dict[str, Any]:
    return {"weaknesses": [each.to_json() for each in weaknesses], "looked": looked}
