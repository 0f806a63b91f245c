"""Databases kept in shape: what is ill is found, what can be mended beside running work is mended, the rest is told."""
