"""What may go: rules as people write them."""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.units import Duration, Size

SYSTEM = tuple(
    Path(each)
    for each in (
        "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin",
        "/sys", "/usr", "/var/lib/apt", "/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/mysql",
        "/var/lib/mainstay", "/var/lib/mongodb", "/var/lib/pgsql", "/var/lib/postgresql", "/var/lib/redis",
        "/var/lib/systemd", "/var/spool/cron", "/System", "/Library",
    )
)  # fmt: skip
"""Neither they, nor what lies in them, nor what they lie in may be a root."""
WHOLE = tuple(
    Path(each) for each in ("/home", "/media", "/mnt", "/opt", "/root", "/srv", "/Users", "/Volumes")
)
"""They may not be roots as a whole; what lies in them may."""


def refusal(path: Path) -> str | None:
    """Say why a path can never be cleaned up; None when it can."""
    if not path.is_absolute() or ".." in path.parts:
        return f"{path} is not a plain absolute path"
    for system in SYSTEM:
        if path.is_relative_to(system):
            return f"{path} belongs to the system"
        if system.is_relative_to(path):
            return f"{path} holds {system}, which belongs to the system"
    if path in WHOLE or path.parent in (Path("/home"), Path("/Users")):
        return f"{path} holds what people keep"
    return None


def _allowed(path: Path) -> Path:
    why = refusal(path)
    if why:
        raise ValueError(f"{why}; name the directory with old files in it, like /var/tmp or /srv/app/tmp")
    return path


def _pattern(text: str) -> str:
    try:
        re.compile(translate(text))
    except re.error as fault:
        raise ValueError(f"{text!r} is not a pattern: {fault}") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
"""A shell pattern: `*`, `?`, `[a-z]`, and `**` for any depth."""

Root = Annotated[ConfigPath, AfterValidator(_allowed)]
"""A directory that may be cleaned up."""


class PathRule(Settings):
    """Old files below one directory. All conditions must hold for a file to go."""

    path: Root
    """The directory. It may not be a link, and nothing outside of it is ever touched."""
    match: list[Pattern] = Field(default=["*"], min_length=1, examples=[["*.log.*", "cache/**"]])
    """Names that may go, at any depth; with a slash, paths below the directory, in which `**` stands for any depth."""
    skip: list[Pattern] = []
    """Names or paths that stay, with all that is in them."""
    older_than: Duration = 7 * 86400.0
    """How long nothing must have happened to it."""
    by: Literal["touched", "modified", "used"] = "touched"
    """What happened last: `touched` by writing, renaming or a change of rights; `modified` by writing alone; `used` by
    any of these or by reading, where the file system keeps that."""
    larger_than: Size = 0
    """How large it must be."""
    owner: list[str | int] = []
    """Accounts whose files may go, by name or number; everybody's when left out."""
    keep_last: int = Field(default=0, ge=0)
    """So many of the newest that match stay in each directory, however old they are."""
    what: Literal["files", "directories"] = "files"
    """`directories`: not files, but whole directories right below the path go, such as old releases, with all in them.
    One stays that a link beside it or above it points to, that a program uses, or in which anything is younger,
    somebody else's or to be skipped."""
    if_open: Literal["leave", "truncate"] = "leave"
    """What becomes of a file that a program has open: deleting it would free nothing. `truncate` empties it."""
    empty_directories: bool = False
    """Whether directories that are old and empty go, too."""

    @cached_property
    def matches(self) -> "Patterns":
        """The patterns of what may go."""
        return Patterns(self.match)

    @cached_property
    def skips(self) -> "Patterns":
        """The patterns of what stays."""
        return Patterns(self.skip)


class Patterns:
    """Shell patterns over paths below a root."""

    def __init__(self, patterns: list[str]) -> None:
        names = [translate(each) for each in patterns if "/" not in each]
        paths = [translate(each.lstrip("/")) for each in patterns if "/" in each]
        self._name = re.compile("|".join(names), re.DOTALL) if names else None
        self._path = re.compile("|".join(paths), re.DOTALL) if paths else None

    def cover(self, path: str) -> bool:
        """Whether one of them is the whole of a relative path, or of its last name."""
        name = path.rpartition("/")[2]
        return bool(
            (self._name and self._name.fullmatch(name)) or (self._path and self._path.fullmatch(path))
        )


def translate(pattern: str) -> str:
    """Give the regular expression of a shell pattern."""
    parts = re.split(r"(\*\*/?|\*|\?|\[!?\]?[^\]]*\])", pattern)
    return "".join(_piece(part) for part in parts)


def _piece(part: str) -> str:
    fixed = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in fixed:
        return fixed[part]
    if part.startswith("[") and part.endswith("]") and len(part) > 2:
        inside = part[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        return f"[{'^' + inside[1:] if inside.startswith('!') else inside}]"
    return re.escape(part)


def shown(path: str) -> str:
    """Give a path as it can be printed and kept: bytes that are no text and control characters are spelt out."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
