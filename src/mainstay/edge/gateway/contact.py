"""How those answer whom the gateway itself needs: Redis, a place of keys, a service that knows tokens, the journal,
the Envoy that carries its requests."""

from dataclasses import dataclass
from typing import Any, Literal

from mainstay.core.secret import redact
from mainstay.ports.clock import Clock

What = Literal["redis", "keys", "service", "journal", "envoy"]


@dataclass(slots=True)
class Contact:
    """What was last heard of one of them, and since when it has been like that. Written when it is asked, no oftener.

    Times are seconds since 1970.
    """

    what: What
    place: str
    clock: Clock
    grave: bool = False
    """Whether clients are turned away while it does not answer."""
    well: bool | None = None
    """None before it was asked."""
    since: float | None = None
    at: float | None = None
    """When it was last asked."""
    detail: str = ""

    def good(self, detail: str = "") -> None:
        """It answered."""
        self._heard(well=True, detail=detail)

    def bad(self, why: str) -> None:
        """It did not, or with nothing of use."""
        self._heard(well=False, detail=redact(why))

    def _heard(self, *, well: bool, detail: str) -> None:
        self.at = self.clock.now()
        self.detail = detail
        if self.well is not well:
            self.well, self.since = well, self.at

    def older(self, seconds: float) -> bool:
        """Whether it was not asked for so long."""
        return self.at is None or self.clock.now() - self.at >= seconds

    def state(self) -> dict[str, Any]:
        """Give it as plain data."""
        word = "unknown" if self.well is None else "up" if self.well else "down"
        return {
            "what": self.what,
            "place": redact(self.place),
            "state": word,
            "since": self.since,
            "at": self.at,
            "detail": self.detail,
            "grave": self.grave,
        }
