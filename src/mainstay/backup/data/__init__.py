"""Other data than PostgreSQL's databases, behind the same job; importing this registers every type."""

from mainstay.backup.data import directory, mysql, redis, restic, sqlite

__all__ = ["directory", "mysql", "redis", "restic", "sqlite"]
