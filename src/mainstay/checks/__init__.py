"""What can be asked of a service, one file per type. Importing the room registers them all."""

from mainstay.checks.certificate import CertificateCheck
from mainstay.checks.command import CommandCheck
from mainstay.checks.disk import DiskCheck
from mainstay.checks.http import HttpCheck
from mainstay.checks.inbox import InboxCheck
from mainstay.checks.postgres import PostgresCheck
from mainstay.checks.redis import RedisCheck
from mainstay.checks.tcp import TcpCheck

__all__ = [
    "CertificateCheck",
    "CommandCheck",
    "DiskCheck",
    "HttpCheck",
    "InboxCheck",
    "PostgresCheck",
    "RedisCheck",
    "TcpCheck",
]
