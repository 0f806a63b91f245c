"""Is there room on a file system?"""

import asyncio
import os
from typing import Any, Self

from pydantic import Field, model_validator

from mainstay.checks.percent import Percent, in_order, share
from mainstay.core.check import Answer, Check, Place
from mainstay.core.units import Size, format_duration, format_size
from mainstay.ports.threads import Threads

_threads = Threads(8, "disk")
_asking: dict[tuple[int, str], "asyncio.Future[os.statvfs_result]"] = {}


class DiskCheck(Check, type="disk", shorthand="path"):
    """Measures the file system that holds a path, as an ordinary account sees it (like `df`).

    Facts: `size`, `used` and `free` in bytes, `used_percent` and `inodes_percent`.
    """

    cured_by_restart = False

    path: str = Field(default="/", examples=["/var/lib/postgresql"])
    """Any path on the file system."""
    warn: Percent = 80.0
    """Warn from this share of used space."""
    fail: Percent = 90.0
    """Fail from this share of used space."""
    min_free: Size | None = None
    """Fail when less is free, whatever its share."""
    inodes_warn: Percent = 80.0
    """Warn from this share of used inodes; not judged where the file system has no fixed number of them."""
    inodes_fail: Percent = 95.0
    """Fail from this share of used inodes."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        in_order(self, "warn", "fail")
        in_order(self, "inodes_warn", "inodes_fail")
        return self

    def target(self) -> str:
        return self.path

    async def probe(self, place: Place) -> Answer:
        try:
            async with asyncio.timeout(self.timeout):
                return self._judge(await asyncio.shield(_statvfs(self.path)))
        except TimeoutError:
            detail = f"{self.path} did not answer within {format_duration(self.timeout)}: is its server gone?"
            return Answer.fail(detail, cause="slow")
        except FileNotFoundError:
            return Answer.fail(f"{self.path} does not exist", cause="missing")
        except OSError as fault:
            return Answer.fail(f"{self.path}: {fault.strerror}", cause="error")

    def _judge(self, seen: os.statvfs_result) -> Answer:
        used = (seen.f_blocks - seen.f_bfree) * seen.f_frsize
        free = seen.f_bavail * seen.f_frsize
        # Blocks kept for root count neither as used nor as free.
        percent = share(used, used + free)
        inodes = share(seen.f_files - seen.f_ffree, seen.f_files)
        facts: dict[str, Any] = {"size": seen.f_blocks * seen.f_frsize, "used": used, "free": free}
        facts |= {"used_percent": percent, "inodes_percent": inodes}
        space = f"{self.path} is {percent:g}% full, {format_size(free)} free"
        nodes = f"{inodes:g}% of the inodes of {self.path} are used"
        if self.min_free is not None and free < self.min_free:
            return Answer.fail(f"{space}: less than {format_size(self.min_free)}", cause="full", **facts)
        if percent >= self.fail or inodes >= self.inodes_fail:
            return Answer.fail(space if percent >= self.fail else nodes, cause="full", **facts)
        if percent >= self.warn or inodes >= self.inodes_warn:
            return Answer.warn(space if percent >= self.warn else nodes, **facts)
        return Answer.ok(space, **facts)


def _statvfs(path: str) -> "asyncio.Future[os.statvfs_result]":
    """Ask on a thread: a network file system whose server is gone hangs for ever. Once per path at a time."""
    key = (id(asyncio.get_running_loop()), path)
    asking = _asking.get(key)
    if asking is None:
        asking = _asking[key] = _threads.call(lambda: os.statvfs(path))
        asking.add_done_callback(lambda done: _asking.pop(key, None))
    return asking
