"""What an update still waits for: a restart of the machine, or of programs that run what was replaced."""

import re
from contextlib import suppress
from pathlib import Path

from mainstay.upkeep.patches.weakness import Level, Weakness
from mainstay.upkeep.program import ask, there

WITHIN = 120.0
"""Seconds that needrestart may take."""
_GONE = re.compile(r"^\S+ ..x. \S+ \S+ [1-9]\d* +(/(?:usr|lib|opt)\S*)[^/]* \(deleted\)$", re.MULTILINE)


async def restarts(root: Path) -> list[Weakness]:
    """Say whether the machine or programs want a restart."""
    return [*reboot(root / "run"), *await programs(root / "proc")]


def reboot(run: Path) -> list[Weakness]:
    """Read the notice that packages leave, with their names."""
    if not (run / "reboot-required").exists():
        return []
    names: list[str] = []
    with suppress(OSError):
        names = sorted(set((run / "reboot-required.pkgs").read_text(errors="replace").split()))
    what = f"{', '.join(names)} wait for it" if names else "an update waits for it"
    return [Weakness("reboot", "this machine wants a restart", what, Level.NOTE, "reboot")]


async def programs(proc: Path) -> list[Weakness]:
    """Name the programs that run code which is not on the disk any more, and what needrestart says of services."""
    found = outdated(proc)
    services = await _needrestart()
    if not found and not services:
        return []
    names = ", ".join(services or found)
    return [Weakness("restart", "programs run code that was replaced", names, Level.NOTE, "restart them")]


def outdated(proc: Path) -> list[str]:
    """Look at what programs have mapped: code of packages whose file was deleted since."""
    found: set[str] = set()
    for home in proc.iterdir():
        if home.name.isdecimal():
            with suppress(OSError):
                if _GONE.search((home / "maps").read_text(errors="replace")):
                    found.add((home / "comm").read_text(errors="replace").strip())
    return sorted(found)


async def _needrestart() -> list[str]:
    """Ask needrestart, where it is, for the services to be restarted; it changes nothing."""
    if not there("needrestart"):
        return []
    said = await ask("needrestart", "-b", "-l", "-r", "l", within=WITHIN)
    return services_of(said.out)


def services_of(batch: str) -> list[str]:
    """Read the batch output of needrestart."""
    return sorted(
        {line.partition(":")[2].strip() for line in batch.splitlines() if line.startswith("NEEDRESTART-SVC:")}
    )
