"""The contracts' journals, and what is asked of checks."""

from tests.journals import clock, journal, store
from tests.places import authority, place, say

__all__ = ["authority", "clock", "journal", "place", "say", "store"]
