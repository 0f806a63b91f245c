"""The command line: one lazily imported file per command.

A command's module has `configure(parser)`, which adds its arguments, and `run(ctx, args) -> int`, which gives the exit
code: 0 fine, 1 the answer is no, 2 usage or configuration, 3 could not find out. `catalog.py` lists the commands.
"""

import sys


def main() -> None:
    """Run the command line of this process, and end it."""
    from mainstay.cli.entry import run

    sys.exit(run(sys.argv[1:]))
