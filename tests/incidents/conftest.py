"""Journals for incidents: an empty one on each database, on the fake clock."""

from tests.journals import clock, journal, store

__all__ = ["clock", "journal", "store"]
