"""Disks that fail: every fsync of this process ends with EIO, and a file system of a few megabytes."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1
RET_ALLOW = 0x7FFF0000
RET_ERRNO = 0x00050000
LOAD_SYSCALL_NUMBER = (0x20, 0, 0, 0)
# machine: (the number of the system call `seccomp`, those of `fsync`, `fdatasync` and `sync_file_range`)
NUMBERS = {"x86_64": (317, (74, 75, 277)), "aarch64": (277, (82, 83, 84))}


class CannotBreak(Exception):
    """This kernel or machine does not let a test do that."""


def fail_every_fsync() -> None:
    """From now on the kernel answers every fsync of every thread of this process with EIO. There is no way back."""
    if platform.machine() not in NUMBERS:
        raise CannotBreak(f"the system calls of {platform.machine()} are not known here")
    call, refused = NUMBERS[platform.machine()]
    program = _program(refused)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise CannotBreak(os.strerror(ctypes.get_errno()))
    if libc.syscall(call, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program):
        raise CannotBreak(os.strerror(ctypes.get_errno()))


def _program(refused: tuple[int, ...]) -> ctypes.Array[ctypes.c_char]:
    steps = [LOAD_SYSCALL_NUMBER]
    for place, number in enumerate(refused):
        steps.append((0x15, len(refused) - place, 0, number))  # if equal, jump to the last step
    steps += [(0x06, 0, 0, RET_ALLOW), (0x06, 0, 0, RET_ERRNO | errno.EIO)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(held))
    program = ctypes.create_string_buffer(head, len(head))
    program.keep = held  # type: ignore[attr-defined]  # the kernel reads it through the pointer
    return program


@contextmanager
def small_disk(directory: Path, size: str = "6m") -> Iterator[Path]:
    """A file system in memory of `size`. Raises `CannotBreak` where mounting is not allowed."""
    directory.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        raise CannotBreak(mounted.stderr.strip())
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)
