"""From arguments to an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from mainstay import __version__
from mainstay.cli.catalog import COMMANDS, Command
from mainstay.cli.output import Output
from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from argparse import Namespace

    from mainstay.cli.parser import Parser

INTERRUPTED = 130
PIPE_CLOSED = 141
SWITCHES = {"--json": ("json", True), "--no-color": ("color", False), "--debug": ("debug", True)}


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; give the exit code. Faults are shown, never raised."""
    out = Output(color=False if "--no-color" in arguments else None)
    debug = "--debug" in arguments or bool(os.environ.get("MAINSTAY_DEBUG"))
    try:
        code = _dispatch(list(arguments), out)
        out.stdout.flush()
        return code
    except KeyboardInterrupt:
        out.note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; without this the interpreter would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as fault:
        from mainstay.cli import errors

        if isinstance(fault, MainstayError) and not debug:
            return errors.show(out, fault)
        return errors.unexpected(out, fault, debug=debug)


def _dispatch(arguments: list[str], out: Output) -> int:
    given: dict[str, object] = {}
    while arguments:
        first = arguments.pop(0)
        if first in ("--version", "-V"):
            out.print(f"mainstay {__version__}")
            return 0
        if first in ("--help", "-h") or (first == "help" and not arguments):
            return _help(out)
        if first == "help":
            return _command(arguments[0], ["--help"], given, out)
        if first in SWITCHES:
            name, value = SWITCHES[first]
            given[name] = value
        elif first == "--config" and arguments:
            given["config"] = arguments.pop(0)
        elif first.startswith("--config="):
            given["config"] = first.partition("=")[2]
        else:
            return _command(first, arguments, given, out)
    _help(Output(stdout=sys.stderr))
    return 2


def _command(name: str, arguments: list[str], given: dict[str, object], out: Output) -> int:
    command = COMMANDS.get(name)
    if command is None:
        from mainstay.cli.parser import UsageError, closest

        guess = closest(name, list(COMMANDS))
        kind = "option" if name.startswith("-") else "command"
        what = f"there is no {kind} {name}" + (f"; did you mean {guess}?" if guess else "")
        raise UsageError(what, hint="mainstay help lists the commands")
    module = import_module(command.module)
    args = parse(command, arguments, given)
    if args is None:
        return 0
    from mainstay.cli.context import Context

    out = Output(json=args.json, color=args.color)
    code: int = module.run(Context(out, args.config), args)
    return code


def parse(command: Command, arguments: list[str], given: dict[str, object]) -> "Namespace | None":
    """Give a command's arguments; None when only its help was asked for, which is printed."""
    from argparse import Namespace

    parser = parser_of(command)
    start = Namespace(**{"config": None, "json": False, "color": None, "debug": False, **given})
    try:
        return parser.parse_args(arguments, start)
    except SystemExit:
        return None


def parser_of(command: Command) -> "Parser":
    """Build a command's parser."""
    from mainstay.cli.parser import Parser, add_common, everyone

    module = import_module(command.module)
    parser = Parser(prog=f"mainstay {command.name}", description=module.__doc__)
    module.configure(parser)
    for one in everyone(parser):
        add_common(one)
    return parser


def _help(out: Output) -> int:
    out.print(
        ("mainstay", "title"),
        " keeps a small company's servers checked, backed up, proven, alerted and healed.",
    )
    out.print("")
    out.print(("usage: ", "dim"), "mainstay COMMAND [OPTIONS]")
    width = max(map(len, COMMANDS)) + 2
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        out.print("")
        out.print((group, "bold"))
        for command in COMMANDS.values():
            if command.group == group:
                out.print("  ", (command.name.ljust(width), "cyan"), command.summary)
    out.print("")
    out.print(
        ("mainstay COMMAND --help says more. ", "dim"),
        ("New here? mainstay demo, then mainstay init.", "dim"),
    )
    return 0
