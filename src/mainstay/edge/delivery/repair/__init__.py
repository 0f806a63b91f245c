"""Gap repair: senders are asked what they sent while nobody was there. Importing this registers every type."""

from mainstay.edge.delivery.repair import github, shopify, stripe
from mainstay.edge.delivery.repair.base import Kept, Repair, Sent

__all__ = ["Kept", "Repair", "Sent", "github", "shopify", "stripe"]
