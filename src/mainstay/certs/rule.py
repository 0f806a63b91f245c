"""When a certificate is due: a pure function of what is known of it."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from mainstay.certs.pem import Leaf
from mainstay.core.units import format_duration

DAY = 86400.0
SHORT = 10 * DAY
"""Seconds of life below which a certificate is renewed at half of it, not at two thirds."""
LAST = 1 / 8
"""The part of the life that must be left whatever the authority suggests: time for people to help."""
FIRST = 1 / 8
"""The part of the life, a day at most, that goes by before a suggestion counts: a wrong one orders no hundreds."""
HOUR = 3600.0
LONGEST_PAUSE = DAY
"""Seconds after which a failed order is tried again at the latest."""


@dataclass(frozen=True, slots=True)
class Window:
    """When the authority wants a certificate renewed (ARI, RFC 9773); seconds since 1970."""

    start: float
    end: float
    why: str = ""
    """An address at which the authority explains it, if it does."""


@dataclass(frozen=True, slots=True)
class Due:
    """From when on a certificate is to be renewed, seconds since 1970, and why then."""

    at: float
    why: str


def due(
    leaf: Leaf | None,
    names: Collection[str],
    now: float,
    *,
    window: Window | None = None,
    revoked: str | None = None,
) -> Due:
    """Say when the certificate `leaf` of `names` is due. `revoked` says why it counts no more."""
    if leaf is None or leaf.self_signed:
        return Due(now, "there is none yet")
    if lacking := sorted(name for name in names if not leaf.covers(name)):
        return Due(now, f"it does not cover {', '.join(lacking)}")
    if revoked is not None:
        return Due(now, f"it was revoked: {revoked}")
    if leaf.not_after <= now:
        return Due(now, "it has expired")
    latest = leaf.not_after - leaf.lifetime * LAST
    if window is None or window.end <= window.start:
        share, words = (1 / 2, "half") if leaf.lifetime < SHORT else (2 / 3, "two thirds")
        life = format_duration(round(leaf.lifetime / HOUR) * HOUR)
        return Due(leaf.not_before + leaf.lifetime * share, f"{words} of its {life} are over then")
    wished = window.start + (window.end - window.start) * _share(leaf, window)
    if wished > latest:
        return Due(latest, "little of its life is left then, although the authority suggests later")
    wished = max(wished, leaf.not_before + min(leaf.lifetime * FIRST, DAY))
    return Due(wished, "the authority suggests that moment" + (f": {window.why}" if window.why else ""))


def _share(leaf: Leaf, window: Window) -> float:
    """Give the place in the window: spread evenly over all certificates, and the same each time for one of them."""
    seed = f"{leaf.fingerprint}:{window.start:.0f}:{window.end:.0f}".encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") / 2**32


def pause(failures: int, left: float) -> float:
    """Give the seconds until the next try after so many failures in a row; `left` seconds are until it expires.

    An hour, then twice as long each time, a day at most; a certificate that expires soon is tried more often, but
    never more than once an hour: authorities count failures.
    """
    growing: float = HOUR * 2 ** min(max(failures, 1) - 1, 10)
    return max(HOUR, min(growing, LONGEST_PAUSE, left / 8))
