"""Measurements of ours beside others', made in the same run. One file per bench; see `bench/rows.py` for its shape."""
