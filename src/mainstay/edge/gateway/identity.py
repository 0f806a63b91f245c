"""Who asks, or why that is not known."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Identity:
    """Somebody who showed a good credential."""

    subject: str
    """Fit for a header."""
    plan: str | None
    """What the credential says; the policy decides whether there is such a plan."""
    until: float = float("inf")
    """When the credential ends, in seconds since 1970."""
    seat: Any = field(default=None, repr=False, compare=False)
    """What the policy in force has worked out about them."""


@dataclass(frozen=True, slots=True)
class Bad:
    """The credential is no good: 401."""

    why: str
    """For the client, in a few words of ASCII."""
    counts: bool = True
    """Whether it may have been a guess; an expired token was good once and is none."""
    lasting: bool = True
    """Whether it will be as bad in a minute."""
    elsewhere: bool = False
    """Whether it says that it is somebody else's, who may know it."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """It cannot be told now whether the credential is good: 503, never 401, which would make clients log out."""

    why: str
    wait: float = 1.0
    """Seconds after which it is worth asking again."""
    counts: bool = False
    """Whether it may have been a guess that cost us cryptography."""


Known = Identity | Bad | Unsure


class Memory(Generic[T]):
    """Remembers at most `most` answers by the very bytes of a credential; those that were not used lately go first."""

    def __init__(self, most: int = 20_000) -> None:
        self._half = max(1, most // 2)
        self._young: dict[bytes, tuple[T, float, float]] = {}
        self._old: dict[bytes, tuple[T, float, float]] = {}

    def get(self, credential: bytes, now: float, wall: float) -> T | None:
        """Give what is remembered, unless it has ended by either clock."""
        found = self._young.get(credential)
        if found is None:
            found = self._old.get(credential)
            if found is None:
                return None
            self._put(credential, found)
        value, until, wall_until = found
        return value if now < until and wall < wall_until else None

    def put(self, credential: bytes, value: T, until: float, wall_until: float = float("inf")) -> None:
        """Remember until the monotonic clock shows `until` or the wall clock `wall_until`."""
        self._put(credential, (value, until, wall_until))

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _put(self, credential: bytes, entry: tuple[T, float, float]) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[credential] = entry
