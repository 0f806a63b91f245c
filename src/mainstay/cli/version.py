"""Say which mainstay this is, and on what it runs."""

import argparse
import platform
import sqlite3

from mainstay import __version__
from mainstay.cli.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments."""


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Print versions."""
    facts = {
        "mainstay": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if ctx.out.json:
        ctx.out.data(facts)
    else:
        ctx.out.print(
            f"mainstay {__version__} ", (f"(Python {facts['python']}, SQLite {facts['sqlite']})", "dim")
        )
    return 0
