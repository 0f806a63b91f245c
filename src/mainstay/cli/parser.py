"""Arguments: the standard parser, with errors and help in the manner of the house."""

import argparse
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from mainstay.cli.output import Output
from mainstay.core.errors import ConfigError


class UsageError(ConfigError):
    """The command line is wrong."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of exiting, knows the global options and guesses what was meant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self._positionals.title = "arguments"

    def format_help(self) -> str:
        """Give the help, with bold headings for people."""
        out = Output()
        heading = re.compile(r"^(usage|[a-z ]+):", re.MULTILINE)
        return heading.sub(lambda found: out.paint((found[0], "bold")), super().format_help())

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Let the command that was meant refuse what it does not know: it alone has the options to guess from."""
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return given, unknown

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", hint=self._hint(message))

    def _hint(self, message: str) -> str:
        unknown = re.search(r"unrecognized arguments: (--?[\w-]+)", message)
        options = [
            name for action in self._actions for name in action.option_strings if name.startswith("--")
        ]
        if unknown:
            guess = closest(unknown[1], options)
            if guess:
                return f"did you mean {guess}?"
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if choice and (guess := closest(choice[1], re.findall(r"[\w-]+", choice[2]))):
            return f"did you mean {guess}?"
        return f"{self.prog} --help"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=96)


def closest(word: str, known: Sequence[str]) -> str | None:
    """Give the known word that somebody probably meant."""
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def amount(text: str) -> int:
    """Read how many of something are wanted, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Give the parsers that have no parsers below them: the commands that can be run."""
    for one in everyone(parser):
        if not any(isinstance(action, argparse._SubParsersAction) for action in one._actions):
            yield one


def everyone(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Give a parser and all those below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in dict.fromkeys(action.choices.values()):
                yield from everyone(one)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes. Left out, they keep what stood before the command."""
    group = parser.add_argument_group("options of every command")
    keep = argparse.SUPPRESS
    group.add_argument(
        "--config",
        metavar="PATH",
        default=keep,
        help="the configuration; else $MAINSTAY_CONFIG, ./mainstay.yaml or /etc/mainstay/mainstay.yaml",
    )
    group.add_argument("--json", action="store_true", default=keep, help="the result as JSON")
    group.add_argument("--no-color", dest="color", action="store_false", default=keep, help="no colours")
    group.add_argument("--debug", action="store_true", default=keep, help="show the traceback of a fault")
