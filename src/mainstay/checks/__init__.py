"""What can be asked of a service, one file per type. Importing the room registers them all."""

from mainstay.checks.http import HttpCheck
from mainstay.checks.tcp import TcpCheck

__all__ = ["HttpCheck", "TcpCheck"]
