"""Jobs of the user's own: a command, a container, a Python function. Each is a file; `base.py` is what they share."""
