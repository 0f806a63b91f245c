"""Processes as the operating system knows them: who is who, even after a number was used again."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from mainstay.ports.environment import inherited

PROC = Path("/proc")
MARK = "MAINSTAY_SERVICE"
"""Environment variable of every process that mainstay starts for a service; its children inherit it."""


def identity(pid: int) -> str | None:
    """Name a living process so that another one with the same number has another name; None when there is none."""
    if (PROC / "self/stat").exists():
        fields = _stat(pid)
        return None if fields is None or fields[0] in ("Z", "X") else f"{_boot()}:{fields[19]}"
    return _identity_by_ps(pid)


def marked(mark: str) -> list[int]:
    """Give the living processes that carry a mark, leaders of a session first. Empty where there is no /proc."""
    wanted = f"{MARK}={mark}".encode()
    found = [(pid, leads) for pid, leads in _everyone() if wanted in _environment(pid)]
    return [pid for pid, _ in sorted(found, key=lambda entry: (not entry[1], entry[0]))]


def group(leader: int) -> list[int]:
    """Give the living members of a process group."""
    members = []
    for pid, _ in _everyone():
        fields = _stat(pid)
        if fields is not None and int(fields[2]) == leader and fields[0] not in ("Z", "X"):
            members.append(pid)
    return members


def _everyone() -> Iterator[tuple[int, bool]]:
    if not PROC.is_dir():
        return
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            fields = _stat(pid)
            if fields is not None and fields[0] not in ("Z", "X"):
                yield pid, int(fields[3]) == pid


def _stat(pid: int) -> list[str] | None:
    """Give the fields of proc(5) stat after the name: [0] state, [2] group, [3] session, [19] start in ticks."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _boot() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "boot"


def _identity_by_ps(pid: int) -> str | None:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**inherited(), "LC_ALL": "C"},
    )
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else " ".join(started.split())
