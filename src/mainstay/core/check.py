"""Checks ask: one question, one verdict, one measured detail."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol, TypeVar

from mainstay.core.plugin import Plugin
from mainstay.core.units import Duration

T = TypeVar("T")


class Verdict(StrEnum):
    """What a check found. UNKNOWN means that it could not find out; it is never the service's fault."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one probe saw: the verdict, a sentence with the measured value, and the values themselves."""

    verdict: Verdict
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def ok(cls, detail: str, **facts: Any) -> "Answer":
        return cls(Verdict.OK, detail, facts)

    @classmethod
    def warn(cls, detail: str, **facts: Any) -> "Answer":
        return cls(Verdict.WARN, detail, facts)

    @classmethod
    def fail(cls, detail: str, **facts: Any) -> "Answer":
        return cls(Verdict.FAIL, detail, facts)

    @classmethod
    def unknown(cls, detail: str, **facts: Any) -> "Answer":
        return cls(Verdict.UNKNOWN, detail, facts)


@dataclass(frozen=True, slots=True)
class Result:
    """One answer of one check, judged: what the journal keeps and incidents are made of.

    `latency` is in seconds, `at` in seconds since 1970. `confirmed` is true when the verdict may be acted upon: a
    fail was seen again at once on a fresh connection.
    """

    check: str
    service: str
    verdict: Verdict
    detail: str
    at: float
    latency: float | None = None
    place: str = "here"
    confirmed: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class Place(Protocol):
    """Where a probe runs, and the only things it may use of the world besides its own connection."""

    name: str

    def now(self) -> float:
        """Wall time, seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; for latencies."""
        ...

    async def resolve(self, host: str, port: int) -> list[str]:
        """Give the addresses of a host without blocking others; raises `ResolveError`."""
        ...

    async def read(self, unit: Callable[[Any], T]) -> T:
        """Look at mainstay's own journal with a function of the store. Raises `LookupError` where there is none."""
        ...


class ResolveError(Exception):
    """A name could not be resolved. `definite` is true when the name server said that there is no such name."""

    def __init__(self, message: str, *, definite: bool) -> None:
        super().__init__(message)
        self.definite = definite


class Check(Plugin, kind="check"):
    """A question about a service that is asked again and again."""

    cured_by_restart: ClassVar[bool] = True
    """Whether restarting the service may turn a fail into ok; healing looks at such checks alone."""
    name: str | None = None
    """Shown instead of the type when a service has several checks of one type."""
    every: Duration = 30.0
    """How often it is asked."""
    timeout: Duration = 5.0
    """After this long without an answer the verdict is fail; `every` when that is shorter."""

    async def probe(self, place: Place) -> Answer:
        """Ask once, on a fresh connection. Expected faults are a fail answer, not an exception."""
        raise NotImplementedError

    def host(self) -> str | None:
        """Name the host whose answer shows that our own network works; None when the check is about this machine."""
        return None

    def target(self) -> str:
        """Say in a few words what is asked, without secrets."""
        return self.type_name
