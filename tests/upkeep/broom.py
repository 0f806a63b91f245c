"""Rules, carried out on trees of a test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.upkeep.cleanup.opened import Opened
from mainstay.upkeep.cleanup.pinned import Root
from mainstay.upkeep.cleanup.rules import PathRule
from mainstay.upkeep.cleanup.sweep import Orders, Sweep, Tally

DAY = 86400.0

MAY_MOUNT = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
needs_root = pytest.mark.skipif(not MAY_MOUNT, reason="only root, outside of most containers, may mount")


def sweep(
    path: Path,
    *,
    act: bool = True,
    ahead: float = 30 * DAY,
    opened: Opened | None = None,
    protected: Mapping[Path, str] | None = None,
    **options: Any,
) -> Tally:
    """Carry out one rule on a directory, as it would be `ahead` seconds from now."""
    rule = PathRule.model_validate({"path": path, **options})
    orders = Orders(act, SystemClock().now() + ahead, opened or Opened(FakeClock()), lambda: False)
    with Root(path, protected or {}) as root:
        return Sweep(root, rule, orders).run()


def plant(root: Path, *paths: str, size: int = 10) -> None:
    """Make files, with the directories that they lie in."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * size)


def left(root: Path) -> set[str]:
    """The files and links that are still there."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


@contextmanager
def mounted(source: Path | str, target: Path, *options: str) -> Iterator[None]:
    """A mount, for as long as the block lasts."""
    subprocess.run(["mount", *options, str(source), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)
