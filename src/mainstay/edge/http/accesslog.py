"""One JSON line a request, written by a thread of its own: neither a slow disk nor a full one is felt by anybody.

A line holds no query, since people put secrets there, and no header but Host and User-Agent.
"""

import fcntl
import json
import logging
import os
import queue
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

MOST_WAITING = 8 * 1024 * 1024
"""Bytes that may wait to be written; what comes then is dropped and counted."""
PIECE: Final = 64 * 1024
"""Bytes after which the thread is given something to do before the next tick."""
PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")


def quoted(text: str) -> str:
    """Give a JSON string; almost all of them need no work."""
    return f'"{text}"' if PLAIN.fullmatch(text) else json.dumps(text)


def said(name: str, value: str) -> str:
    """Give one more thing for a line, as `Exchange.notes` holds it."""
    return f',"{name}":{quoted(value)}'


def milliseconds(seconds: float) -> str:
    """Write a span as milliseconds with two decimals: sums of whole numbers are quicker than formatting a float."""
    hundredths = int(seconds * 100_000.0 + 0.5)
    return f"{hundredths // 100}.{_TWO[hundredths % 100]}"


_TWO: Final = [f"{number:02d}" for number in range(100)]


class AccessLog:
    """Takes lines and gives them to its thread. `most` is the size at which a file is set aside."""

    def __init__(self, path: Path, most: int) -> None:
        self.dropped = 0
        """Lines that could not be written."""
        self.path = path
        self.most = most
        self._file = _File(path, most)
        self._lines: list[str] = []
        self._size = 0
        self._waiting = 0
        self._work: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._writer.start()

    def put(self, line: str) -> None:
        """Take a line, without its end. Costs an append."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= PIECE:
            self.flush()

    def flush(self) -> None:
        """Have written what was taken."""
        lines, self._lines = self._lines, []
        size, self._size = self._size, 0
        if not lines:
            return
        if self._waiting > MOST_WAITING:
            self.dropped += len(lines)
            return
        self._waiting += size
        self._work.put(lines)

    def close(self, patience: float = 2.0) -> None:
        """Write what is left, for so many seconds at most."""
        self.flush()
        self._work.put(None)
        self._writer.join(patience)

    def _write(self) -> None:
        while (lines := self._work.get()) is not None:
            size = sum(map(len, lines))
            lines.append("")
            if not self._file.append("\n".join(lines).encode(errors="replace")):
                self.dropped += len(lines) - 1
            self._waiting -= size
        self._file.close()


class _File:
    """A file that grows to a size, then becomes FILE.1 and begins anew. Several processes may append to it."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._file = -1
        self._torn = False
        self._said = False

    def append(self, data: bytes) -> bool:
        """Write; False when it could not be written as a whole."""
        try:
            self._open()
            written = os.write(self._file, b"\n" + data if self._torn else data) - self._torn
        except OSError as fault:
            if not self._said:
                logger.warning("the access log %s cannot be written: %s", self._path, fault.strerror)
            self._said = True
            return False
        self._torn = written < len(data)
        self._said = self._said and self._torn
        return not self._torn

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _open(self) -> None:
        """Have the file open that stands at the path now: somebody may have set it aside."""
        if self._file >= 0 and self._is_current():
            if os.fstat(self._file).st_size < self._most:
                return
            self._set_aside()
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _set_aside(self) -> None:
        fcntl.flock(
            self._file, fcntl.LOCK_EX
        )  # another process may be about to do the same; it lets go by closing
        if self._is_current():
            self._path.rename(self._path.with_name(self._path.name + ".1"))

    def _is_current(self) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        return False
