"""One bash that goes through a page, as its reader does."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tests.docs.page import Step, unsaid
from tests.helpers import eventually

PATIENCE = 120.0
MARK = "PAGE_TRIED_BY"  # mainstay passes no variable of its own on to services


class Shell:
    """A bash in a directory. What one block sets the next one knows; `close` ends everything that was started."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self._mark = uuid.uuid4().hex
        self._notes = directory / ".shell"
        self._notes.mkdir()
        self._count = 0
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env={**environment, MARK: self._mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def do(self, step: Step) -> None:
        """Do a step and look at what it says. Raises `AssertionError`."""
        if step.file is not None:
            file = self._here() / step.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step.text)
        elif step.language == "sh" and not step.skipped:
            if step.until is None:
                self._look(step)
            else:
                eventually(lambda: self._look(step), step.until)

    def _look(self, step: Step) -> bool:
        code, said = self.run(step.text)
        assert code == step.exit, f"{step.where} ended with {code}:\n{step.text}\n{said}"
        left = unsaid(step.expected, said)
        assert not left, f"{step.where} did not say {left}:\n{step.text}\n{said}"
        return True

    def all(self, steps: Iterable[Step]) -> None:
        """Do one step after the other."""
        for step in steps:
            self.do(step)

    def run(self, text: str) -> tuple[int, str]:
        """Run commands up to the first that fails; give the last one's exit code and all that was said."""
        self._count += 1
        block, said, code = (self._notes / f"{self._count}.{kind}" for kind in ("sh", "out", "code"))
        block.write_text(text)
        assert self._bash.stdin is not None
        self._bash.stdin.write(
            f"set -o pipefail; trap 'return $?' ERR; source {block} >{said} 2>&1 </dev/null; code=$?; trap - ERR\n"
            f"pwd >{self._notes}/pwd; echo $code >{code}.new; mv {code}.new {code}\n"
        )
        self._bash.stdin.flush()
        eventually(code.exists, PATIENCE)
        return int(code.read_text()), said.read_text()

    def _here(self) -> Path:
        pwd = self._notes / "pwd"
        return Path(pwd.read_text().strip()) if pwd.exists() else self.directory

    def close(self) -> None:
        """End the shell and all that it left running, services of mainstay and daemons among them."""
        self._bash.kill()
        self._bash.wait()
        if self._bash.stdin is not None:
            self._bash.stdin.close()
        # Again and again: what one of them starts in the meantime is killed in the next round.
        eventually(lambda: not self._kill())

    def _kill(self) -> int:
        killed = 0
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def _left(self) -> Iterator[int]:
        mark = f"{MARK}={self._mark}".encode()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
