"""Everything that the edge counts, room by room, for `/metrics` and the reference."""

from mainstay.edge.http.meter import Family
from mainstay.edge.http.witness import FAMILIES as HTTP
from mainstay.edge.inbox.counts import FAMILIES as INBOX

FAMILIES: tuple[Family, ...] = (*HTTP, *INBOX)
"""A room that counts something adds its own here."""
