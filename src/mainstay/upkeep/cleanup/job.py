"""The job `cleanup_temp_files`."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from mainstay.core.errors import MainstayError
from mainstay.core.job import Job, JobFailed, Look, Outcome, RunContext
from mainstay.core.schedule import Cron
from mainstay.core.units import Duration, format_duration, format_size
from mainstay.store import meta
from mainstay.upkeep.cleanup import docker, journald
from mainstay.upkeep.cleanup.docker import DockerRule
from mainstay.upkeep.cleanup.journald import JournaldRule
from mainstay.upkeep.cleanup.opened import Opened
from mainstay.upkeep.cleanup.pinned import Left, Root
from mainstay.upkeep.cleanup.rules import PathRule
from mainstay.upkeep.cleanup.sweep import Orders, Sweep
from mainstay.upkeep.ports import UpkeepPorts

NOTE = "cleanup:"
"""The journal's note (in `meta`) of a job: the rules that were rehearsed and the rule to begin with `next`; while a
rehearsal is not through, the rules that are `rehearsing` and how many of them were `rehearsed`."""


class CleanupTempFiles(Job, type="cleanup_temp_files"):
    """Deletes old files, what Docker has no use for and old entries of systemd's journal; says how much came free.

    The first run after a change of the rules deletes nothing and says what would go; the next one does it. A rehearsal
    that runs out of time goes on in the next run, and only then is anything deleted. With the argument `now=true` a run
    does it at once. Directories of mainstay, its storages and PostgreSQL are never entered.
    """

    steps: ClassVar[tuple[str, ...]] = ("decide", "files", "docker", "system_journal")

    at: Cron | None = "0 3 * * *"
    """When it is due, as five cron fields."""
    paths: list[PathRule] = []
    """Directories with old files in them, and what may go from each."""
    docker: DockerRule | None = None
    """What may go from Docker; nothing when left out, `{}` for what is safe everywhere."""
    journald: JournaldRule | None = None
    """How much of systemd's journal stays; all of it when left out."""
    rehearse: bool = True
    """Whether the first run after a change of the rules only says what would go."""
    budget: Duration = 600.0
    """After so long it stops, and the next run begins where it stopped."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when it is due while it still runs: left out, or run afterwards."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(UpkeepPorts)
        decided = await run.step("decide", partial(self._decide, run, ports))
        work = Cleanup(self, ports, act=not decided["rehearsal"], now=run.now(), log=run.log)
        files = await run.step("files", partial(self._files, run, work, decided["first"]))
        dock = await run.step("docker", work.docker)
        journal = await run.step("system_journal", work.journald)
        parts = [files, dock, journal]
        # What had the whole time for itself would be shown no further by another rehearsal.
        reached = all(map(_in_time, parts)) or (files["in_time"] and decided["first"] >= len(self.paths))
        note = self._note(files["next"], rehearsal=decided["rehearsal"], reached=reached)
        await ports.store.write(lambda tx: meta.put(tx, f"{NOTE}{run.job}", note))
        faults = [fault for part in parts for fault in part["faults"]]
        if faults:
            raise JobFailed("; ".join(faults), retry=False)
        return self._outcome(files, dock, journal, rehearsal=decided["rehearsal"])

    async def foresee(self, look: Look) -> list[str]:
        lines: list[str] = []
        work = Cleanup(self, look.get(UpkeepPorts), act=False, now=look.now(), log=lines.append)
        parts = [await work.files(0), await work.docker(), await work.journald()]
        freed = sum(part["freed"] for part in parts)
        faults = [fault for part in parts for fault in part["faults"]]
        return [*lines, *faults, f"about {format_size(freed)} would come free"]

    async def _decide(self, run: RunContext, ports: UpkeepPorts) -> dict[str, Any]:
        noted = await ports.store.read(lambda tx: meta.get(tx, f"{NOTE}{run.job}"))
        known = json.loads(noted) if noted else {}
        rules, many = self._fingerprint(), len(self.paths)
        if known.get("rules") == rules:
            return {"rehearsal": False, "first": int(known.get("next", 0)) % max(1, many)}
        if not self.rehearse or run.args.get("now"):
            return {"rehearsal": False, "first": 0}
        # One that ran out of time goes on: a rule that it did not reach was never shown to anybody.
        first = min(int(known.get("rehearsed", 0)), many) if known.get("rehearsing") == rules else 0
        run.log("the rules are new: this run deletes nothing and says what would go")
        return {"rehearsal": True, "first": first}

    def _fingerprint(self) -> str:
        rules = self.model_dump(mode="json", include={"paths", "docker", "journald"})
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    async def _files(self, run: RunContext, work: "Cleanup", first: int) -> dict[str, Any]:
        async def one(number: int) -> dict[str, Any]:
            run.progress("directories", number, len(self.paths))
            return await run.step(f"files:{number}", lambda: work.path(number))

        return await work.files(first, one)

    def _note(self, after: int, *, rehearsal: bool, reached: bool) -> str:
        rules = self._fingerprint()
        if rehearsal and not reached:
            return json.dumps({"rehearsing": rules, "rehearsed": after})
        return json.dumps({"rules": rules, "next": 0 if rehearsal else after})

    def _outcome(
        self, files: dict[str, Any], dock: dict[str, Any], journal: dict[str, Any], *, rehearsal: bool
    ) -> Outcome:
        freed = files["freed"] + dock["freed"] + journal["freed"]
        counts = {
            "files": files["files"],
            "directories": files["directories"],
            "truncated": files["truncated"],
            "images": dock["images"],
            "containers": dock["containers"],
        }
        told = [_count(count, noun) for noun, count in counts.items() if count]
        what = ", ".join(told) or "nothing old enough"
        data = {"rehearsal": rehearsal, "freed_bytes": freed, **counts, "left": files["left"]}
        data["in_time"] = all(map(_in_time, (files, dock, journal)))
        late = "" if data["in_time"] else f"; {format_duration(self.budget)} were up, the next run goes on"
        if rehearsal:
            return Outcome(
                f"rehearsal, nothing was deleted: {what} would go, about {format_size(freed)}{late}", data
            )
        return Outcome(f"{format_size(freed)} came free: {what}{late}", data)


def _in_time(part: dict[str, Any]) -> bool:
    return bool(part["in_time"])


def _count(count: int, nouns: str) -> str:
    """Say a number of things; `truncated` are files that were emptied."""
    words = "open files emptied" if nouns == "truncated" else nouns
    if count != 1:
        return f"{count:,} {words}"
    single = {"files": "file", "directories": "directory", "truncated": "open file emptied"}
    return f"1 {single.get(nouns) or words.removesuffix('s')}"


@dataclass(frozen=True)
class Cleanup:
    """The work of one run or rehearsal; every method gives plain data, with `faults` in words."""

    job: CleanupTempFiles
    ports: UpkeepPorts
    act: bool
    now: float
    log: Callable[[str], None]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_end", self.ports.clock.monotonic() + self.job.budget)

    def over(self) -> bool:
        """Whether the time is up."""
        end: float = self._end  # type: ignore[attr-defined]
        return self.ports.clock.monotonic() >= end

    async def files(
        self, first: int, one: Callable[[int], Awaitable[dict[str, Any]]] | None = None
    ) -> dict[str, Any]:
        """Carry out all rules about directories from number `first` on: around, or to the end in a rehearsal."""
        many = len(self.job.paths)
        order = [(first + each) % many for each in range(many if self.act else many - first)]
        total: dict[str, Any] = {
            "files": 0,
            "directories": 0,
            "truncated": 0,
            "freed": 0,
            "left": {},
            "faults": [],
        }
        total |= {"next": 0 if self.act else many, "in_time": True}
        for number in order:
            done = await (one or self.path)(number)
            for key in ("files", "directories", "truncated", "freed"):
                total[key] += done.get(key, 0)
            for why, count in done.get("left", {}).items():
                total["left"][why] = total["left"].get(why, 0) + count
            total["faults"] += done.get("faults", [])
            if not done.get("in_time", True):
                # A rehearsal that had all of its time for one rule shows no more of it the next time either.
                total |= {"next": number + (not self.act and number == first), "in_time": False}
                break
        return total

    async def path(self, number: int) -> dict[str, Any]:
        """Carry out one rule about a directory, on a thread that stops when this run is stopped."""
        rule, stopped = self.job.paths[number], threading.Event()
        opened = Opened(self.ports.clock)
        orders = Orders(self.act, self.now, opened, lambda: stopped.is_set() or self.over())
        try:
            done = await asyncio.to_thread(self._sweep, rule, orders)
        except (MainstayError, Left) as fault:
            return {"faults": [f"{rule.path}: {fault}"]}
        finally:
            stopped.set()
        if done is None:
            self.log(f"{rule.path}: it is not there")
            return {}
        for line in done["examples"]:
            self.log(f"{rule.path}: {line}")
        if opened.hidden:
            who = f"{opened.hidden} programs" if opened.hidden > 1 else "one program"
            self.log(f"{rule.path}: {who} of other accounts did not show what they have open")
        return done

    def _sweep(self, rule: PathRule, orders: Orders) -> dict[str, Any] | None:
        try:
            with Root(rule.path, self.ports.protected) as root:
                return Sweep(root, rule, orders).run().to_json()
        except FileNotFoundError:
            return None

    async def docker(self) -> dict[str, Any]:
        """Clean Docker up."""
        done: dict[str, Any] = {"images": 0, "containers": 0, "freed": 0, "faults": [], "in_time": True}
        if self.job.docker is None:
            return done
        if self.over():
            return {**done, "in_time": False}
        try:
            freed = await docker.clean(self.job.docker, self.now, self.over, self.log, act=self.act)
        except MainstayError as fault:
            return {**done, "faults": [str(fault)]}
        found = {"images": freed.images, "containers": freed.containers, "freed": freed.bytes}
        return {**done, **found, "in_time": not self.over()}

    async def journald(self) -> dict[str, Any]:
        """Let old entries of systemd's journal go."""
        if self.job.journald is None:
            return {"freed": 0, "faults": [], "in_time": True}
        if self.over():
            return {"freed": 0, "faults": [], "in_time": False}
        try:
            freed = await journald.vacuum(self.job.journald, act=self.act)
        except MainstayError as fault:
            return {"freed": 0, "faults": [str(fault)], "in_time": True}
        if not self.act:
            self.log(
                f"systemd's journal occupies {format_size(freed)}; how much would go, only journalctl knows"
            )
        return {"freed": freed if self.act else 0, "faults": [], "in_time": True}
