"""Run mainstay: ask the checks, run the jobs, tell people, heal, serve the dashboard, and be the edge if there is one.

Runs until SIGTERM or Ctrl-C, which ends it in order. SIGHUP reads the configuration anew: a right file takes effect, a
wrong one is reported and the old plan stays in force.
"""

import argparse

from mainstay.cli.context import Context

PARTS = ("agent", "web", "edge", "envoy")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--only", choices=PARTS, help="run one process alone instead of supervising all")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    import asyncio

    from mainstay.app import logs, up

    logs.to_stderr(args.only or "up")
    if args.only:
        up.run_part(args.only, ctx.path)
    else:
        asyncio.run(up.supervise(ctx.path, ctx.out.note))
    return 0
