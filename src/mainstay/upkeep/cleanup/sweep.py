"""One rule, carried out: old files go, everything else stays."""

import errno
import os
import pwd
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.upkeep.cleanup.opened import Opened
from mainstay.upkeep.cleanup.pinned import Left, Pinned, Root, mount_of, same, unchanged
from mainstay.upkeep.cleanup.rules import PathRule, shown

DEEPEST = 100
"""Directories below the root; what lies deeper is left and said."""
EXAMPLES = 20
"""Names of each kind that a report gives."""
BLOCK = 512
"""Bytes of the unit in which systems count what a file occupies."""


@dataclass(slots=True)
class Tally:
    """What one rule did, or would do. `freed` is what the file system gave back, in bytes."""

    files: int = 0
    directories: int = 0
    truncated: int = 0
    freed: int = 0
    left: Counter[str] = field(default_factory=Counter)
    """Why how many stayed although they match."""
    examples: list[str] = field(default_factory=list)
    in_time: bool = True
    """Whether the rule came to its end within the time that it had."""

    def leave(self, what: str, why: str) -> None:
        """Count what stays, and name the first ones."""
        self.left[why] += 1
        if self.left[why] <= EXAMPLES:
            self.examples.append(f"left {shown(what)}: {why}")

    def took(self, what: str, verb: str) -> None:
        """Name the first ones that go."""
        if self.files + self.directories + self.truncated <= EXAMPLES:
            self.examples.append(f"{verb} {shown(what)}")

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {**asdict(self), "left": dict(self.left)}


@dataclass(frozen=True, slots=True)
class Orders:
    """How a rule is carried out. `act` false only counts. `over` says that time is up; `now` is seconds since 1970."""

    act: bool
    now: float
    opened: Opened
    over: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """A name in a directory, as it was seen."""

    name: str
    seen: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.seen.st_mode)


class OutOfTime(Exception):
    """Time is up; the next run goes on."""


class Sweep:
    """Carries out one rule below one root."""

    def __init__(self, root: Root, rule: PathRule, orders: Orders) -> None:
        self.tally = Tally()
        self._root = root
        self._rule = rule
        self._orders = orders
        self._owners = frozenset(_account(each) for each in rule.owner)

    def run(self) -> Tally:
        """Do it. What cannot be deleted is counted, never raised."""
        try:
            self._visit(self._root.top, 0)
        except OutOfTime:
            self.tally.in_time = False
        return self.tally

    def _visit(self, place: Pinned, depth: int) -> None:
        """See to one directory; what is below it first, so that it may be empty afterwards."""
        here = [each for each in self._list(place) if not self._rule.skips.cover(place.below(each.name))]
        old: list[Found] = []
        for each in here:
            if each.is_directory and self._rule.what == "files":
                self._descend(place, each, depth + 1)
            elif each.is_directory == (self._rule.what == "directories") and self._wanted(place, each):
                old.append(each)
        for each in self._aged(old):
            if self._rule.what == "files":
                self._file(place, each)
            else:
                self._directory(place, each)

    def _list(self, place: Pinned) -> Iterator[Found]:
        try:
            with os.scandir(place.fd) as entries:
                for entry in entries:
                    self._breathe()
                    with suppress(OSError):  # gone between two looks
                        yield Found(entry.name, entry.stat(follow_symlinks=False))
        except OSError as fault:
            self.tally.leave(place.path, _reason(fault))

    def _breathe(self) -> None:
        if self._orders.over():
            raise OutOfTime

    def _descend(self, place: Pinned, each: Found, depth: int) -> None:
        path = place.below(each.name)
        if depth > DEEPEST:
            self.tally.leave(path, f"it is deeper than {DEEPEST} directories")
            return
        try:
            inside = self._root.enter(place, each.name, each.seen)
        except (Left, OSError) as why:
            self.tally.leave(path, _reason(why))
            return
        try:
            self._visit(inside, depth)
        finally:
            os.close(inside.fd)
        if self._rule.empty_directories and self._old(each.seen):
            self._rmdir(place, each)

    def _wanted(self, place: Pinned, each: Found) -> bool:
        mode = each.seen.st_mode
        plain = stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)
        return plain and self._rule.matches.cover(place.below(each.name))

    def _aged(self, found: list[Found]) -> list[Found]:
        """Leave out the newest, which are kept, then what is too young, too small or somebody else's."""
        found.sort(key=lambda each: (each.seen.st_mtime_ns, each.name), reverse=True)
        return [each for each in found[self._rule.keep_last :] if self._goes(each)]

    def _goes(self, each: Found) -> bool:
        seen = each.seen
        if self._owners and seen.st_uid not in self._owners:
            return False
        if not each.is_directory and seen.st_size < self._rule.larger_than:
            return False
        return self._old(seen)

    def _old(self, seen: os.stat_result) -> bool:
        times = [seen.st_mtime]
        if self._rule.by != "modified":
            times.append(seen.st_ctime)
        if self._rule.by == "used" and not stat.S_ISDIR(seen.st_mode):  # our own look reads directories
            times.append(seen.st_atime)
        return self._orders.now - max(times) >= self._rule.older_than

    def _file(self, place: Pinned, each: Found) -> None:
        self._breathe()
        path = place.below(each.name)
        holder = self._orders.opened.holder(each.seen) if stat.S_ISREG(each.seen.st_mode) else None
        try:
            if holder is None:
                freed = _unlink(self._root, place, each, act=self._orders.act)
                self.tally.files += 1
                self.tally.took(path, "delete")
            elif self._rule.if_open == "truncate":
                freed = _truncate(self._root, place, each, act=self._orders.act)
                self.tally.truncated += 1
                self.tally.took(path, f"empty, as {holder} has it open,")
            else:
                raise Left(f"{holder} has it open")
            self.tally.freed += freed
        except (Left, OSError) as why:
            self.tally.leave(path, _reason(why))

    def _rmdir(self, place: Pinned, each: Found) -> None:
        try:
            _check(self._root, place, each, exactly=False)
            if self._orders.act:
                os.rmdir(each.name, dir_fd=place.fd)
                self.tally.directories += 1
                self.tally.took(place.below(each.name), "delete the empty directory")
        except (Left, OSError) as why:
            if not (isinstance(why, OSError) and why.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                self.tally.leave(place.below(each.name), _reason(why))

    def _directory(self, place: Pinned, each: Found) -> None:
        """Delete a directory with all that is in it, once it is sure that all of it may go."""
        path = place.below(each.name)
        try:
            if link := _pointed_at(self._root, each):
                raise Left(f"{link} points to it")
            self._inspect(place, each, 1)
            size = self._raze(place, each) if self._orders.act else self._weigh(place, each)
        except (Left, OSError) as why:
            self.tally.leave(path, _reason(why))
            return
        self.tally.directories += 1
        self.tally.freed += size
        self.tally.took(path, "delete the directory")

    def _inspect(self, place: Pinned, each: Found, depth: int) -> None:
        """Raise `Left` when anything in a directory must stay."""
        if depth > DEEPEST:
            raise Left(f"it is deeper than {DEEPEST} directories")
        if holder := self._orders.opened.holder(each.seen):
            raise Left(f"{holder} uses it" if depth == 1 else f"{holder} uses {shown(each.name)} in it")
        if depth > 1:
            self._may_go_along(place, each)
        if not each.is_directory:
            return
        inside = self._root.enter(place, each.name, each.seen)
        try:
            for one in self._list(inside):
                self._inspect(inside, one, depth + 1)
        finally:
            os.close(inside.fd)

    def _may_go_along(self, place: Pinned, each: Found) -> None:
        """Raise `Left` when something in a directory must stay: its own time says nothing of what is further down."""
        if self._rule.skips.cover(place.below(each.name)):
            raise Left(f"{shown(each.name)} in it stays, as `skip` says")
        if self._owners and each.seen.st_uid not in self._owners:
            raise Left(f"{shown(each.name)} in it is somebody else's")
        if not self._old(each.seen):
            raise Left(f"{shown(each.name)} in it is not old enough")

    def _weigh(self, place: Pinned, each: Found) -> int:
        if not each.is_directory:
            return _size(each.seen)
        inside = self._root.enter(place, each.name, each.seen)
        try:
            return _size(each.seen) + sum(self._weigh(inside, one) for one in self._list(inside))
        finally:
            os.close(inside.fd)

    def _raze(self, place: Pinned, each: Found) -> int:
        """Delete a name with all below it; give the bytes that came free."""
        if not each.is_directory:
            return _unlink(self._root, place, each, act=True)
        inside = self._root.enter(place, each.name, each.seen)
        try:
            freed = sum(self._raze(inside, one) for one in list(self._list(inside)))
        finally:
            os.close(inside.fd)
        _check(self._root, place, each, exactly=False)
        os.rmdir(each.name, dir_fd=place.fd)
        return freed + _size(each.seen)


def _check(root: Root, place: Pinned, each: Found, *, exactly: bool) -> os.stat_result:
    """Make sure, a moment before the deed, that the name still means what was seen, and still lies in the root.

    Give what it is now. Raises `Left`.
    """
    now = place.look(each.name)
    if not (unchanged(now, each.seen) if exactly else same(now, each.seen)):
        raise Left("it was exchanged or changed meanwhile")
    if not root.still_inside(place):
        raise Left("its directory was moved away meanwhile")
    return now


def _unlink(root: Root, place: Pinned, each: Found, *, act: bool) -> int:
    now = _check(root, place, each, exactly=True)
    if act:
        os.unlink(each.name, dir_fd=place.fd)
    return _size(now)


def _size(seen: os.stat_result) -> int:
    """Say what a file's end gives back: nothing while it has another name."""
    return seen.st_blocks * BLOCK if seen.st_nlink == 1 or stat.S_ISDIR(seen.st_mode) else 0


def _truncate(root: Root, place: Pinned, each: Found, *, act: bool) -> int:
    """Empty a file, unless it has a second name, which may lie anywhere, or is a mount."""
    if each.seen.st_nlink != 1:
        raise Left("it is open and has a second name")
    if not act:
        return _size(each.seen)
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(each.name, flags, dir_fd=place.fd)
    try:
        found = os.fstat(fd)
        if not same(found, each.seen) or found.st_nlink != 1 or mount_of(fd) != root.top.mount:
            raise Left("it was exchanged or changed meanwhile")
        if not root.still_inside(place):
            raise Left("its directory was moved away meanwhile")
        os.ftruncate(fd, 0)
        return max(0, found.st_blocks - os.fstat(fd).st_blocks) * BLOCK
    finally:
        os.close(fd)


def _pointed_at(root: Root, each: Found) -> str | None:
    """Give the link in the root, or beside it, that leads to a directory, such as `current`."""
    for where in (root.path, root.path.parent):
        with suppress(OSError), os.scandir(where) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_symlink() and _leads_to(entry.stat(), root, entry.path, each):
                        return shown(entry.path)
    return None


def _leads_to(target: os.stat_result, root: Root, link: str, each: Found) -> bool:
    """Whether a link leads to a directory, or to something in it."""
    if same(target, each.seen):
        return True
    real = os.path.realpath(link)
    return real.startswith(os.path.join(os.path.realpath(root.path), each.name) + "/")  # noqa: PTH118


def _account(given: str | int) -> int:
    if isinstance(given, int):
        return given
    try:
        return pwd.getpwnam(given).pw_uid
    except KeyError:
        raise MainstayError(f"there is no account {given}", hint="write its name or its number") from None


def _reason(why: BaseException) -> str:
    if isinstance(why, OSError):
        return (why.strerror or type(why).__name__).lower()
    return str(why)
