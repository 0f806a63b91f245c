"""Configurations for other proxies that carry the requests and ask the gateway about each of them."""

from mainstay.edge.gateway.export.site import Exported, Site
from mainstay.edge.gateway.export.write import KINDS, export

__all__ = ["KINDS", "Exported", "Site", "export"]
