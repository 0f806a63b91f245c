"""Where events are brought to. Importing this package registers every type of target."""

from mainstay.edge.delivery.targets import command, entry_point, http
from mainstay.edge.delivery.targets.base import Deliver, Target, Tools

__all__ = ["Deliver", "Target", "Tools", "command", "entry_point", "http"]
