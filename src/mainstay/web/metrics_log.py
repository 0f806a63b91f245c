"""What `/metrics` says of the log of webhooks that lies on this machine."""

import asyncio
from collections.abc import Iterator, Mapping

from mainstay.edge.inbox.harvest import waiting
from mainstay.edge.inbox.log import DIRECTORY
from mainstay.web.described import Described
from mainstay.web.site import Site

Log = tuple[int, float | None]
"""Bytes of the log that are not in the journal, and when the first of these events came."""

LOG = (
    Described(
        "mainstay_inbox_log_bytes", "Bytes of this machine's log of webhooks that wait for the journal."
    ),
    Described(
        "mainstay_inbox_log_age_seconds", "Seconds that the log's first webhook waits; 0 when none does."
    ),
)


async def log_of(site: Site, imported: Mapping[str, int]) -> Log:
    """Look at the log; where there is no edge nothing waits."""
    if site.meters is None:
        return 0, None
    return await asyncio.to_thread(waiting, site.meters.parent / DIRECTORY, imported)


def log_samples(log: Log, now: float) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Give (name, label values, value)."""
    size, since = log
    yield "mainstay_inbox_log_bytes", (), size
    yield "mainstay_inbox_log_age_seconds", (), 0.0 if since is None else max(0.0, now - since)
