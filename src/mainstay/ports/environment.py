"""The environment of programs that mainstay starts: what it has itself, but for what is its own."""

import os

PRIVATE = ("MAINSTAY_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "INVOCATION_ID")
"""Beginnings of variables that no program inherits: secrets, and what the service manager tells mainstay alone."""


def inherited() -> dict[str, str]:
    """Give the variables that a program may have."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
