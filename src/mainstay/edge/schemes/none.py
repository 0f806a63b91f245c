"""Senders that can prove nothing."""

from collections.abc import Sequence
from typing import ClassVar

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Scheme, Verified


class Nothing(Scheme, type="none"):
    """Takes everything that comes from the networks of `from`, which must be given: there is no other protection."""

    needs_secret: ClassVar[bool] = False
    proves: ClassVar[bool] = False

    def verify(self, request: Delivery, secrets: Sequence[Secret], now: float) -> Verified:
        """Believe it."""
        return Verified(None)

    def sign(
        self, body: bytes, secret: Secret, now: float, *, id: str = "", type: str | None = None, url: str = ""
    ) -> list[tuple[str, str]]:
        """There is nothing to add."""
        return []
