"""Everything that the edge counts, room by room, for `/metrics` and the reference."""

from mainstay.edge.gateway.envoy.counts import FAMILIES as ENVOY
from mainstay.edge.http.meter import Family
from mainstay.edge.http.witness import FAMILIES as HTTP
from mainstay.edge.inbox.counts import FAMILIES as INBOX
from mainstay.edge.proxy.counts import FAMILIES as GATEWAY

FAMILIES: tuple[Family, ...] = (*HTTP, *INBOX, *GATEWAY, *ENVOY)
"""A room that counts something adds its own here."""
