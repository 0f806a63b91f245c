"""The inbox's journals."""

from tests.journals import clock, journal, store

__all__ = ["clock", "journal", "store"]
