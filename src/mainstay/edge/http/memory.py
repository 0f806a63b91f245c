"""Remembers what was made of bytes that come again and again, such as the header lines of one client's requests."""

from typing import Final, Generic, TypeVar

T = TypeVar("T")

LONGEST: Final = 2048
"""Bytes of the longest that is remembered."""
ROOM: Final = 4 * 1024 * 1024
"""Bytes that all of it may take, as far as `weight` can tell."""
MARKS: Final = 4096
"""How many of those that came once are known at least."""


class Memory(Generic[T]):
    """Finds again what was made of the very same bytes; what was not asked for lately is forgotten first.

    What is made of them must follow from these bytes alone. They are kept when they come a second time: requests that
    are each unlike all others leave nothing but a mark, so that they neither fill this nor drive others out.
    """

    __slots__ = ("_filled", "_half", "_old", "_once", "_once_before", "_young")

    def __init__(self, room: int = ROOM) -> None:
        self._half = room // 2
        self._young: dict[bytes, tuple[T, int]] = {}
        self._old: dict[bytes, tuple[T, int]] = {}
        self._filled = 0
        self._once: set[int] = set()
        self._once_before: set[int] = set()

    def get(self, raw: bytes) -> T | None:
        """Give what was made of these bytes, if it is remembered."""
        found = self._young.get(raw)
        if found is None:
            found = self._old.get(raw)
            if found is None:
                return None
            self._put(raw, found)
        return found[0]

    def met(self, raw: bytes, made: T, weight: int) -> None:
        """Take note of what was not remembered and had to be made; `weight` is how many bytes it takes, at most."""
        if len(raw) > LONGEST:
            return
        mark = hash(raw)  # its key is this process's secret: strangers cannot make two of them meet
        if mark in self._once or mark in self._once_before:
            self._put(raw, (made, weight))
            return
        if len(self._once) >= MARKS:
            self._once_before, self._once = self._once, set()
        self._once.add(mark)

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old, self._filled = {}, {}, 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _put(self, raw: bytes, entry: tuple[T, int]) -> None:
        self._filled += entry[1]
        if self._filled > self._half:
            self._old, self._young, self._filled = self._young, {}, entry[1]
        self._young[raw] = entry
