"""When an event that was not taken is brought again."""

import random

from mainstay.edge.delivery.settings import RetrySettings


def pause(settings: RetrySettings, attempt: int, wish: float | None, draw: random.Random) -> float | None:
    """Give the seconds until the next attempt after the failed number `attempt`; None when that was the last one.

    Drawn between nothing and twice the configured pause, so that events which failed together do not come back
    together; at least the target's own wish.
    """
    if attempt > len(settings.delays):
        return None
    jitter = draw.uniform(0.0, 2.0 * settings.delays[attempt - 1])
    return max(jitter, min(wish or 0.0, settings.longest_wish))


def longest(settings: RetrySettings) -> float:
    """Give the longest pause there can be; a moment further off was set by a wrong clock."""
    return max([settings.longest_wish, *(2.0 * each for each in settings.delays)]) + 3600.0
