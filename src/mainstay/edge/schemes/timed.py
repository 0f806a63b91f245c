"""Schemes whose requests carry a signed time."""

from pydantic import model_validator

from mainstay.core.units import Duration
from mainstay.edge.schemes.base import Refused, Scheme


class Timed(Scheme):
    """A scheme whose requests carry a signed time, and are refused when they are old: a copy soon proves nothing."""

    tolerance: Duration = 300.0
    """How old a request may be."""
    ahead: Duration = 60.0
    """How far the sender's clock may be ahead; half of `tolerance` at most, because a copy lives that much longer."""

    @model_validator(mode="after")
    def _bounded(self) -> "Timed":
        if self.ahead > self.tolerance / 2:
            raise ValueError(
                "ahead is more than half of tolerance; a copied request would be taken for too long"
            )
        return self

    @property
    def life(self) -> float | None:
        """For how many seconds a copy is taken for genuine."""
        return self.tolerance + self.ahead

    def stale(self, sent_at: float, now: float) -> Refused | None:
        """Say why a time is not to be believed; None when it is."""
        age = now - sent_at
        if age > self.tolerance:
            return Refused(f"it was signed {age:.0f} s ago, and {self.tolerance:g} s are allowed")
        if -age > self.ahead:
            return Refused(f"it was signed {-age:.0f} s in the future, and {self.ahead:g} s are allowed")
        return None
