"""Where backups are kept. Importing this package registers every type of storage."""

from mainstay.ports.objects import directory, s3, sftp
from mainstay.ports.objects.base import Denied, Entry, NotThere, Powers, Storage, StorageError, Stored, Weight

__all__ = [
    "Denied",
    "Entry",
    "NotThere",
    "Powers",
    "Storage",
    "StorageError",
    "Stored",
    "Weight",
    "directory",
    "s3",
    "sftp",
]
