"""What is asked of delivery, on both databases."""

from tests.journals import clock, journal, store
from tests.places import authority, say

__all__ = ["authority", "clock", "journal", "say", "store"]
