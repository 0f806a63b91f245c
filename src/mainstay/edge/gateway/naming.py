"""What requests are called that came without a name."""

import os
from itertools import count


class Names:
    """Gives names that no other process gives: a prefix of its own, and a number."""

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex().encode()
        self._count = count(1)

    def new(self) -> bytes:
        """Give the next one."""
        return b"%b-%x" % (self._prefix, next(self._count))
