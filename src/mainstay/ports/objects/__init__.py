"""Where backups are kept. Importing this package registers every type of storage."""

from mainstay.ports.objects import directory, s3
from mainstay.ports.objects.base import Entry, NotThere, Storage, StorageError, Stored

__all__ = ["Entry", "NotThere", "Storage", "StorageError", "Stored", "directory", "s3"]
