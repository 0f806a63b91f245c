"""Debian's and Ubuntu's packages: what apt itself says, without a library of its own."""

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.upkeep.program import Said, ask, let_finish, there

QUICK = 120.0
"""Seconds for a question."""
FETCH = 900.0
"""Seconds for fetching the lists."""
LOCK = 300
"""Seconds for which somebody else may hold the lock of dpkg."""
QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",  # it would restart services in the middle of it, mainstay among them
}
KEEP = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
"""Configuration files that somebody changed stay as they are; the new ones are put beside them."""

_INST = re.compile(
    r"^Inst (?P<name>\S+) \[(?P<old>[^\]]+)\] \((?P<new>\S+) (?P<from>.*) \[(?P<arch>[^\]]+)\]\)"
)

_ALONG = re.compile(r"^Inst (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Update:
    """A package that has a newer version. `held` means that somebody said to keep the old one."""

    name: str
    arch: str
    installed: str
    candidate: str
    security: bool
    held: bool = False

    @property
    def wanted(self) -> str:
        """What apt is asked to install."""
        return f"{self.name.partition(':')[0]}:{self.arch}={self.candidate}".replace(":all=", "=")

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


def has_apt() -> bool:
    """Whether this machine has apt."""
    return there("apt-get") and there("dpkg")


async def refresh() -> str | None:
    """Fetch the lists of packages anew; give None, or why that was not possible."""
    if not os.access(await lists(), os.W_OK):
        return "only root may fetch the package lists"
    said = await ask(
        "apt-get", "-q", *_lock(), "-o", "APT::Update::Error-Mode=any", "update", within=FETCH, env=QUIET
    )
    return None if said.code == 0 else f"the package lists could not be fetched: {_complaint(said)}"


async def lists() -> Path:
    """Give the directory of the lists."""
    return await _directory("Dir::State::lists")


async def refreshed_at() -> float | None:
    """Say when the lists were last fetched or changed, in seconds since 1970; None when there are none."""
    place = await lists()
    stamps = [(await _directory("Dir::State")) / "periodic/update-success-stamp"]
    times = []
    with suppress(OSError):
        # The time of change, not that of modification: the latter is the server's own.
        times += [path.stat().st_ctime for path in place.iterdir() if path.name.endswith("Release")]
    for stamp in stamps:
        with suppress(OSError):
            times.append(stamp.stat().st_mtime)
    return max(times, default=None)


async def pending() -> list[Update]:
    """Give every package with a newer version. Raises `MainstayError` when apt cannot say."""
    said = await _apt("-s", "--ignore-hold", "dist-upgrade")
    found = [match for line in said.out.splitlines() if (match := _INST.match(line))]
    if not found:
        return []
    held = set((await _sure("apt-mark", "showhold")).out.split())
    secure = secure_names((await _sure("apt-cache", "policy", *(each["name"] for each in found))).out)
    return [_update(each, held, secure) for each in found]


def _update(found: "re.Match[str]", held: set[str], secure: set[str]) -> Update:
    name = found["name"]
    return Update(
        name=name,
        arch=found["arch"],
        installed=found["old"],
        candidate=found["new"],
        security="-security" in found["from"].lower() or name in secure,
        held=bool(held & {name, f"{name}:{found['arch']}"}),
    )


def secure_names(policy: str) -> set[str]:
    """Read `apt-cache policy`: the packages for which any version newer than theirs is from a security archive.

    The newest may be from elsewhere, when a point release or an update of the week went past the security fix.
    """
    found: set[str] = set()
    name, newer = "", False
    for line in policy.splitlines():
        if line and not line.startswith(" "):
            name, newer = line.rstrip(":"), False
        elif line.strip() == "Version table:":
            newer = True
        elif line.startswith(" ***"):
            newer = False
        elif newer and re.match(r"^ +-?\d+ \S+ \S*(-security|/updates)", line):
            found.add(name)
    return found


async def has_security_archive() -> bool:
    """Whether any list of packages is from an archive of security updates."""
    said = await _sure("apt-cache", "policy")
    return re.search(r"^ *release .*(-security|Security)", said.out, re.MULTILINE) is not None


async def possible(updates: Sequence[Update], leave: Sequence[str] = ()) -> list[Update]:
    """Give those that can be installed without removing anything: all at once, else one by one.

    None is that would bring a package along which is left alone (`leave`, shell patterns).
    """
    if not updates or await _can(updates, leave):
        return list(updates)
    return [each for each in updates if await _can([each], leave)]


async def _can(updates: Iterable[Update], leave: Sequence[str]) -> bool:
    said = await ask("apt-get", "-s", *_install(updates), within=QUICK, env=QUIET)
    along = [name.partition(":")[0] for name in _ALONG.findall(said.out)]
    return said.code == 0 and not any(fnmatchcase(name, pattern) for name in along for pattern in leave)


async def apply(updates: Sequence[Update]) -> None:
    """Install them. What dpkg was interrupted in is finished first. Raises `MainstayError` with apt's own words."""
    if (await ask("dpkg", "--audit", within=QUICK)).out.strip():
        await _change("dpkg", "--configure", "-a", "--force-confdef", "--force-confold")
    if updates:
        await _change("apt-get", "-q", "-y", *_lock(), *KEEP, *_install(updates))


def _install(updates: Iterable[Update]) -> list[str]:
    return ["install", "--only-upgrade", "--no-remove", *(each.wanted for each in updates)]


async def _change(*argv: str) -> None:
    """Change packages, and let it come to its end whatever becomes of us."""
    said = await let_finish(*argv, within=2 * FETCH + LOCK, env=QUIET)
    if said.code != 0:
        raise MainstayError(f"{argv[0]} failed: {_complaint(said)}", hint="try it by hand: apt-get upgrade")


def _lock() -> tuple[str, ...]:
    return ("-o", f"DPkg::Lock::Timeout={LOCK}")


async def _apt(*words: str) -> Said:
    return await _sure("apt-get", *words)


async def _sure(*argv: str) -> Said:
    said = await ask(*argv, within=QUICK, env=QUIET)
    if said.code != 0:
        raise MainstayError(f"{' '.join(argv[:3])} failed: {_complaint(said)}")
    return said


async def _directory(option: str) -> Path:
    said = await _sure("apt-config", "shell", "PLACE", f"{option}/d")
    found = re.search(r"PLACE='(.*)'", said.out)
    if not found:
        raise MainstayError(f"apt does not say where {option} is")
    return Path(found[1])


def _complaint(said: Said) -> str:
    """Give the line that begins with E:, which apt writes about errors; else the last one."""
    errors = [line[2:].strip() for line in said.err.splitlines() if line.startswith("E:")]
    return errors[0] if errors else said.last
