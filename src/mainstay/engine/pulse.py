"""A child's sign of life to its supervisor: a line through a pipe, whose number stands in `MAINSTAY_PULSE`.

A pipe needs no disk, no journal and no network, so it works when those are what is wrong.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

PULSE = "MAINSTAY_PULSE"
FINE = "fine"
LONGEST = 500


def speaker() -> Callable[[str], None]:
    """In a child: give what says a line to the supervisor, or nothing when there is none.

    Call it before other processes are started. A supervisor that does not listen holds nobody up.
    """
    text = os.environ.pop(PULSE, "")
    if not text:
        return lambda line: None
    pipe = int(text)
    os.set_inheritable(pipe, False)
    os.set_blocking(pipe, False)

    def say(line: str) -> None:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(pipe, " ".join(line.split()).encode(errors="replace")[:LONGEST] + b"\n")

    return say


class Ear:
    """In the supervisor: hears one child's lines. `mouth` is the end that the child gets."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._source, self.mouth = os.pipe()
        os.set_blocking(self._source, False)
        self._heard = heard
        self._rest = b""
        asyncio.get_running_loop().add_reader(self._source, self._read)

    def given(self) -> None:
        """The child has its end: let go of ours."""
        os.close(self.mouth)

    def close(self) -> None:
        """Hear what is left, and close."""
        self._read()
        asyncio.get_running_loop().remove_reader(self._source)
        os.close(self._source)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            piece = os.read(self._source, 65536)
            if not piece:
                asyncio.get_running_loop().remove_reader(self._source)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                self._heard(line.decode(errors="replace"))
