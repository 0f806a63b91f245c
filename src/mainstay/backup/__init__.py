"""Backups that count only when they were restored and compared."""
