"""A service that mainstay starts itself: a program in a session of its own, which outlives the agent."""

import asyncio
import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mainstay.core import crash
from mainstay.core.secret import Secret, redact
from mainstay.core.service import Process
from mainstay.ports.clock import Clock
from mainstay.ports.environment import inherited
from mainstay.ports.services import procs
from mainstay.ports.services.base import ServiceError, ServiceState, Standing

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""
LOOK = 0.02
ALONE_WITHIN = 60.0
"""Seconds to wait while somebody else starts or stops the same service."""
LOG_CAP = 10_000_000
"""A log is begun anew when it has so many bytes; one older log is kept."""
TEND_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of the process that was started last. `identity` tells it from a later one with its number."""

    pid: int | None = None
    identity: str | None = None
    started_at: float | None = None
    held: bool = False


class ProcessControl:
    """Starts, stops and finds one program. Its record and log are in `state_dir/services/`.

    The program carries a mark in its environment, so that it is found even when mainstay died between starting it and
    writing down its number; and a number that the system gave to somebody else meanwhile is never killed. A lock beside
    the record keeps two processes of mainstay from starting it at the same moment.
    """

    def __init__(self, name: str, process: Process, state_dir: Path, base_dir: Path, clock: Clock) -> None:
        self.name = name
        self.process = process
        self.directory = base_dir / process.directory if process.directory else base_dir
        self.log = state_dir / "services" / f"{name}.log"
        self._record = state_dir / "services" / f"{name}.json"
        self._lock = state_dir / "services" / f"{name}.lock"
        self._mark = f"{state_dir.resolve()}:{name}"
        self._clock = clock

    async def state(self) -> ServiceState:
        """Look whether it runs."""
        record = self._read()
        pid = await asyncio.to_thread(self._find, record)
        if pid is None:
            hindrance = None if record.held else await asyncio.to_thread(self._hindrance)
            detail = "stopped on purpose" if record.held else "not running"
            detail += f", and cannot be started: {hindrance}" if hindrance else ""
            return ServiceState(Standing.STOPPED, detail, held=record.held)
        return ServiceState(Standing.RUNNING, f"process {pid}", record.started_at, pid)

    async def start(self) -> None:
        """Start the program unless it runs."""
        async with self._alone():
            if (await self.state()).state is Standing.RUNNING:
                self._write(replace(self._read(), held=False))
            else:
                await asyncio.to_thread(self._spawn)

    async def stop(self) -> None:
        """Stop the program and all that it has started; remember that it was on purpose."""
        async with self._alone():
            self._write(replace(self._read(), held=True))
            await self._end()

    async def restart(self) -> None:
        """Stop the program, with SIGKILL when SIGTERM does not help, and start it."""
        async with self._alone():
            await self._end()
            await asyncio.to_thread(self._spawn)

    async def ensure_running(self) -> bool:
        """Start the program unless it runs or was stopped on purpose."""
        async with self._alone():
            state = await self.state()
            if state.state is Standing.RUNNING or state.held:
                return False
            await asyncio.to_thread(self._spawn)
            return True

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                await self._wait_for(lock)
                yield
            finally:
                os.close(lock)
        except OSError as fault:
            raise ServiceError(
                f"{self.name} cannot be seen to: {fault.strerror or fault}",
                hint=f"look at {self._lock.parent} and the room on its disk",
            ) from None

    async def _wait_for(self, lock: int) -> None:
        end = self._clock.monotonic() + ALONE_WITHIN
        while True:
            with suppress(BlockingIOError):
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._clock.monotonic() >= end:
                raise ServiceError(f"somebody else has been starting or stopping {self.name} for a minute")
            await self._clock.sleep(LOOK)

    async def tend(self) -> None:
        """Keep the log from growing without bounds, for ever."""
        while True:
            await asyncio.to_thread(self.trim)
            await self._clock.sleep(TEND_EVERY)

    def trim(self, cap: int = LOG_CAP) -> None:
        """Begin the log anew when it is larger than `cap` bytes. The program writes on: it only ever appends."""
        with suppress(OSError):
            if self.log.stat().st_size > cap:
                shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
                os.truncate(self.log, 0)

    def _hindrance(self) -> str | None:
        """Say what stands in the way of starting it, as far as that can be seen without trying."""
        program = self.process.command[0]
        if self.process.user is not None:
            try:
                _account(self.process.user, self.name)
            except ServiceError:
                return f"there is no account {self.process.user}"
        if not self.directory.is_dir():
            return f"there is no directory {self.directory}"
        found = self.directory / program if "/" in program else _on_path(program, self._environment())
        return None if found is not None and found.exists() else f"there is no program {program}"

    def _find(self, record: Record) -> int | None:
        if record.pid is not None and record.identity == procs.identity(record.pid) is not None:
            return record.pid
        found = procs.marked(self._mark)
        return found[0] if found else None

    def _everyone(self) -> set[int]:
        record = self._read()
        found = set(procs.marked(self._mark))
        leader = self._find(record)
        if leader is not None and leader == record.pid:
            found |= {leader, *procs.group(leader)}
        return found

    async def _end(self) -> bool:
        """End everything that belongs to the service; true when something did."""
        everyone = await asyncio.to_thread(self._everyone)
        if not everyone:
            return False
        known = {pid: procs.identity(pid) for pid in everyone}
        for sign, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
            _signal(known, sign)
            if await self._gone(known, patience):
                return True
        raise ServiceError(
            f"{self.name} does not end, not even by SIGKILL",
            hint="it waits for the kernel, perhaps for a disk or a network file system",
        )

    async def _gone(self, known: Mapping[int, str | None], patience: float) -> bool:
        end = self._clock.monotonic() + patience
        while _alive(known):
            if self._clock.monotonic() >= end:
                return False
            await self._clock.sleep(LOOK)
        return True

    def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.trim()
        command = self.process.command
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        log = os.open(self.log, flags, 0o600)
        try:
            child = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                close_fds=True,
                start_new_session=True,
                **self._identity(),
            )
        except (OSError, ValueError, subprocess.SubprocessError) as fault:
            raise self._told(fault) from None
        finally:
            os.close(log)
        crash.point("service.spawned")
        # Whoever ends is taken leave of at once; a child nobody waits for would stay as a zombie.
        threading.Thread(target=child.wait, name=f"service-{self.name}", daemon=True).start()
        self._write(Record(child.pid, procs.identity(child.pid), self._clock.now()))

    def _environment(self) -> dict[str, str]:
        kept = inherited()
        if self.process.user is not None:
            account = _account(self.process.user, self.name)
            kept |= {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
        for name, value in self.process.env.items():
            kept[name] = value.reveal() if isinstance(value, Secret) else value
        return kept | {procs.MARK: self._mark}

    def _identity(self) -> dict[str, Any]:
        if self.process.user is None:
            return {}
        account = _account(self.process.user, self.name)
        if account.pw_uid == os.geteuid():
            return {}
        if os.geteuid() != 0:
            raise ServiceError(
                f"{self.name} cannot run as {account.pw_name}: only root may become somebody else",
                hint="run mainstay as root, or leave `user` out",
            )
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}

    def _told(self, fault: Exception) -> ServiceError:
        program = self.process.command[0]
        if isinstance(fault, FileNotFoundError):
            if not self.directory.is_dir():
                return ServiceError(f"{self.name} cannot start: there is no directory {self.directory}")
            return ServiceError(
                f"{self.name} cannot start: there is no program {program}", hint="write its full path"
            )
        if isinstance(fault, PermissionError):
            return ServiceError(
                f"{self.name} cannot start: {program} may not be run", hint="make it executable"
            )
        return ServiceError(f"{self.name} cannot start: {redact(str(fault))}")

    def _read(self) -> Record:
        try:
            return Record(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return Record()

    def _write(self, record: Record) -> None:
        self._record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._record.with_suffix(".json.new")
        fresh.write_text(json.dumps(asdict(record)))
        fresh.replace(self._record)


def _signal(known: Mapping[int, str | None], sign: signal.Signals) -> None:
    for pid, identity in known.items():
        if identity is not None and procs.identity(pid) == identity:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
                os.kill(pid, signal.SIGCONT)  # one that is stopped hears SIGTERM only once it goes on


def _alive(known: Mapping[int, str | None]) -> bool:
    return any(identity is not None and procs.identity(pid) == identity for pid, identity in known.items())


def _on_path(program: str, environment: Mapping[str, str]) -> Path | None:
    found = shutil.which(program, path=environment.get("PATH", os.defpath))
    return Path(found) if found else None


def _account(user: str, service: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise ServiceError(f"{service} cannot run as {user}: there is no such account") from None
