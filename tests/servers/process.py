"""A real engine as a child process: a port of its own, ready when it says so, gone when the test run is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.helpers import NeverHappened, eventually

LOOPBACK = "127.0.0.1"
SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")
PR_SET_PDEATHSIG = 1
ATTEMPTS = 3


def all_engines_wanted() -> bool:
    """True when a missing engine must fail the run instead of skipping what needs it."""
    return os.environ.get("MAINSTAY_ENGINES") == "all"


def missing(engine: str, package: str) -> NoReturn:
    """Skip the test, or fail it where everything is expected to be here."""
    message = f"{engine} is not here. hint: ./dev setup, or install the package {package}"
    if all_engines_wanted():
        pytest.fail(message)
    pytest.skip(message)


def unable(engine: str, reason: str) -> NoReturn:
    """Skip the test, even where everything is expected: the engine is here and this machine forbids it to run."""
    pytest.skip(f"{engine} cannot run here: {reason}")


def program(name: str, package: str) -> str:
    """The full path of a program, looked for in the system's directories too; skips or fails when it is missing."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))
    if path is None:
        missing(name, package)
    return path


def free_port() -> int:
    """A TCP port of the loopback address which nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def servant() -> pwd.struct_passwd | None:
    """Whom to run a server as which refuses to be root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("we are root and there is no user to step down to")


def identity(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """The arguments of `subprocess` which make a child step down to `user`."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def die_with_parent(sign: signal.Signals) -> Callable[[], None] | None:
    """For `preexec_fn`: the kernel sends `sign` when this process dies, however it dies. Linux only."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def arm() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(sign))
        if os.getppid() != parent:
            os._exit(1)

    return arm


class Engine:
    """A child process with a log file. `stop` is idempotent; `kill` is SIGKILL, as a crash would be."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: pwd.struct_passwd | None = None,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("ab") as out:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=die_with_parent(orphan_signal),  # noqa: PLW1509  # it makes one system call
                **identity(user),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """Everything that it wrote."""
        return self.log.read_text(errors="replace")

    def ready(self, question: Callable[[], object], deadline: float = 20.0) -> None:
        """Wait until `question` is answered with yes; a process that ended will never answer."""

        def answered() -> bool:
            return not self.alive() or bool(question())

        try:
            eventually(answered, deadline)
        except NeverHappened:
            self.stop()
            raise RuntimeError(f"{self.argv[0]} did not get ready: {self.said()}") from None
        if not self.alive():
            raise RuntimeError(f"{self.argv[0]} ended with {self.process.returncode}: {self.said()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, sign: signal.Signals = signal.SIGTERM, deadline: float = 10.0) -> None:
        if self.alive():
            self.process.send_signal(sign)
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
        # A worker may not notice that its master has gone while it was starting.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


def started(make: Callable[[], Engine], ready: Callable[[], object]) -> Engine:
    """A ready engine. Tried again when it ended at once: another process may have taken its port meanwhile."""
    failure: RuntimeError | None = None
    for _ in range(ATTEMPTS):
        engine = make()
        try:
            engine.ready(ready)
        except RuntimeError as error:
            failure = error
            continue
        return engine
    assert failure is not None
    raise failure
