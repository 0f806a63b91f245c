"""restic as a child process: its secrets in the environment, which nobody else can read, its answers as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.backup.data.base import DataError, Unprovable
from mainstay.backup.dump import gently
from mainstay.core.secret import Secret
from mainstay.ports.objects.base import HOUSE, Storage
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.sandbox import environment

PROGRAM = "restic"
MISSING = 127
WRONG = "wrong password or no key found"
MOST = 10_000
"""Complaints that are kept."""
LOCKED = "repository is already locked"
DAMAGE = (
    "contains errors", "verification failed", "no matching ID", "not found in repository", "does not match",
    "does not exist", "no such file or directory", "invalid data",
)  # fmt: skip
"""What restic says of a repository that lacks something or was changed."""
PASSING = (
    LOCKED, "dial tcp", "connection", "timeout", "timed out", "no such host", "no space left", "ermission denied",
    "Access Denied", "AccessDenied", "SlowDown", "too many open files", "cannot allocate memory",
)  # fmt: skip
"""What it says beside that when the fault may be one of the line or of this machine: then it proves nothing."""
NO_REPOSITORY = ("Is there a repository at", "unable to open config file", "does not exist")


class ResticFault(DataError):
    """restic ended badly. `said` is what it wrote, `code` its exit code."""

    def __init__(self, code: int, said: str, place: str) -> None:
        lines = [line for line in said.splitlines() if line.strip() and "Is there a repository" not in line]
        hint = "`password` is not the one that this repository was made with" if WRONG in said else None
        hint = "somebody else is at work in the repository: try again later" if LOCKED in said else hint
        super().__init__(f"restic in {place} ended with {code}: {' '.join(lines[-3:])[:400]}", hint=hint)
        self.code, self.said = code, said

    @property
    def damage(self) -> bool:
        """Whether it is certain that the repository is not as it was. A backup that failed its proof is deleted."""
        return any(word in self.said for word in DAMAGE) and not any(word in self.said for word in PASSING)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: the exit code, the output, and the lines about what it could not read."""

    code: int
    text: str
    complaints: list[str]

    def unread(self, root: Path) -> set[str]:
        """Give the paths below a directory that it could not read, or that were gone when it wanted to."""
        items = [str(json.loads(line).get("item", "")) for line in self.complaints if line.startswith("{")]
        return {item.removeprefix(f"{root}/") for item in items}


@dataclass(frozen=True)
class Restic:
    """A repository. `folder` is a private directory, `cache` one that may vanish; without one nothing is remembered."""

    storage: Storage
    name: str
    password: Secret
    folder: Path
    cache: Path | None = None

    async def run(
        self, *words: str, cwd: Path | None = None, nice: int = 0, fine: Sequence[int] = (0,)
    ) -> Done:
        """Run it; give its exit code and what it wrote. Raises `ResticFault`, `Unprovable` where there is no restic."""
        native = self.storage.native(f"{HOUSE}/restic/{self.name}")
        if native is None:
            raise DataError(f"restic cannot write to {self.storage.target()}")
        output = self.folder / "output"
        cache = ["--cache-dir", str(self.cache / PROGRAM)] if self.cache else ["--no-cache"]
        # Not in a file: who is killed would leave it behind.
        secrets = {"RESTIC_PASSWORD": self.password.reveal(), **native.environment}
        env = environment(RESTIC_REPOSITORY=native.address, **secrets)
        argv = gently([PROGRAM, *cache, *words], nice)
        complaints: list[str] = []

        def heard(line: str) -> None:
            if '"item"' in line and len(complaints) < MOST:
                complaints.append(line)

        with output.open("wb") as sink:
            async with child(argv, env=env, stdout=sink.fileno(), cwd=cwd, on_line=heard) as running:
                code = await running.finish()
                said = running.said
        if code == MISSING and "not found" in said:
            raise Unprovable("there is no restic on this machine", hint="install the package restic")
        if code not in fine:
            raise ResticFault(code, said, self.storage.target())
        return Done(code, output.read_text(errors="replace"), complaints)

    async def prepared(
        self,
        *words: str,
        cwd: Path | None = None,
        nice: int = 0,
        fine: Sequence[int] = (0,),
        make: bool = False,
    ) -> Done:
        """Run it, if need be after removing the locks of those who died; with `make`, after making the repository.

        Only who writes a backup may make one: a new one would be found sound by whoever looks at it.
        """
        try:
            return await self.run(*words, cwd=cwd, nice=nice, fine=fine)
        except ResticFault as fault:
            if LOCKED in fault.said:
                await self.run("unlock")
            elif make and WRONG not in fault.said and any(word in fault.said for word in NO_REPOSITORY):
                await self.run("init")
            else:
                raise
        return await self.run(*words, cwd=cwd, nice=nice, fine=fine)

    async def snapshots(self) -> list[tuple[str, str]]:
        """Give the runs that made a snapshot, each with its id; one that was cut off may have made several."""
        done = await self.prepared("snapshots", "--json")
        found: list[dict[str, Any]] = json.loads(done.text or "[]") or []
        return [
            (tag.removeprefix("run:"), str(each["id"]))
            for each in found
            for tag in each.get("tags") or ()
            if tag.startswith("run:")
        ]


def summary(text: str) -> dict[str, Any]:
    """Give the last thing that `restic backup --json` said. Raises `DataError`."""
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("message_type") == "summary":
            return found
    raise DataError("restic did not say what it has done", hint="is it a version from 0.12 on?")


def as_argument(path: Path, pattern: str) -> str:
    """Write a pattern of `exclude` as restic takes it: one with a slash is for the whole path."""
    bare = pattern.rstrip("/")
    return f"{os.fspath(path)}/{bare.lstrip('/')}" if "/" in bare else bare
