"""How long commands take to start, beside a bare Python: the price of every keystroke."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median

from bench.rows import Row

REPEATS = 15
COMMANDS = (["--version"], ["--help"])


def seconds(argv: Sequence[str]) -> float:
    """The time from start to end of one process."""
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def run() -> Iterator[Row]:
    """Milliseconds above bare Python, interleaved, medians."""
    for arguments in COMMANDS:
        pairs = [
            (seconds([sys.executable, "-m", "mainstay", *arguments]), seconds([sys.executable, "-c", "pass"]))
            for _ in range(REPEATS)
        ]
        ours, bare = (1000 * median(each) for each in zip(*pairs, strict=True))
        trial = " ".join(arguments).strip("-")
        yield Row("start", trial, ours - bare, "ms over bare Python", "bare Python", bare)
