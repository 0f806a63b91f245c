"""Keeping machines in shape: clean-up of old files, security updates, databases, jobs of the user's own.

Each job is a package of its own; they share `ports.py` and `program.py` and know nothing of each other.
"""
