"""Find out why something does not work: configuration, secrets, journal, agent, edge, storages, databases, channels.

Storages are written to and read back, databases are logged in to; of the targets of webhooks it says what came of the
last attempts. Nobody is told anything without --send. Exit code 1
when anything fails, 2 when the configuration does.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from mainstay.cli.context import Context, run_async
from mainstay.cli.examine import FAIL, OK, WARN, Line
from mainstay.cli.output import Text
from mainstay.cli.words import count
from mainstay.core.errors import ConfigError, MainstayError

if TYPE_CHECKING:
    from mainstay.config.model import Config

Tell = Callable[[Line], None]

MARKS = {OK: ("ok  ", "green"), WARN: ("warn", "yellow"), FAIL: ("FAIL", "alarm")}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--send", action="store_true", help="send a test message through every channel")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Examine and print."""
    told: list[Line] = []

    def tell(line: Line) -> None:
        told.append(line)
        if not ctx.out.json:
            _print(ctx, line)

    code = _examine(ctx, args.send, tell)
    if ctx.out.json:
        ctx.out.data({"ok": code == 0, "lines": [line._asdict() for line in told]})
    elif code == 0:
        ctx.out.print(_sum(sum(line.state == WARN for line in told)))
    return code


def _sum(warned: int) -> Text:
    if warned:
        return f"nothing fails; {count(warned, 'line')} to look at", "yellow"
    return "nothing is in the way", "green"


def _examine(ctx: Context, send: bool, tell: Tell) -> int:
    from mainstay.cli import examine
    from mainstay.config.document import read

    path = ctx.path
    document = read(path)
    found = [*examine.secrets(document.data)]
    config = None
    try:
        config = ctx.config(secrets=not any(line.state == FAIL for line in found))
        tell(Line(OK, "configuration", str(path)))
    except ConfigError as fault:
        for problem in getattr(fault, "problems", (fault,)):
            tell(Line(FAIL, "configuration", f"{problem.where}: {problem.what}", problem.hint or ""))
    for line in found:
        tell(line)
    if config is None or any(line.state == FAIL for line in found):
        return 2
    directory = examine.state_dir(config)
    tell(directory)
    if directory.state == FAIL:
        return 1
    return run_async(_open(ctx, config, send, tell))


async def _open(ctx: Context, config: "Config", send: bool, tell: Tell) -> int:
    from mainstay.cli import examine

    code = 0
    try:
        async with ctx.app(config) as app:
            async for line in examine.everything(app, send=send):
                tell(line)
                code = 1 if line.state == FAIL else code
    except MainstayError as fault:
        tell(Line(FAIL, "journal", fault.what, fault.hint or ""))
        return 1
    return code


def _print(ctx: Context, line: Line) -> None:
    hint = f"  hint: {line.hint}" if line.hint and line.state != OK else ""
    ctx.out.print(MARKS[line.state], "  ", (f"{line.what:<18} ", "bold"), line.detail, (hint, "cyan"))
    ctx.out.stdout.flush()
