"""Writes `docs/reference/` from the code itself, so that it cannot disagree with it."""
