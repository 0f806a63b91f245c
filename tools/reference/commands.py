"""The page about the command line, from the parsers which the commands themselves use."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterable, Iterator

from mainstay.cli.catalog import COMMANDS, Command
from mainstay.cli.entry import parser_of
from mainstay.cli.parser import leaves
from tools.reference.spelling import cell

INTRODUCTION = """\
Results go to standard output, messages and progress to standard error. Exit codes: `0` fine, `1` the answer is no, `2`
usage or configuration, `3` could not find out, `130` interrupted. `NO_COLOR` is respected.\n"""
HEAD = "| argument | meaning |\n|---|---|"


def page() -> str:
    """All commands, in the order of the catalogue; what every command understands stands once, at the end."""
    shared = common_options()
    parts = ["# Commands", INTRODUCTION.rstrip(), contents()]
    for command in COMMANDS.values():
        parts += list(section(command, shared))
    parts += ["## Options of every command", table(shared.values())]
    return "\n\n".join(part for part in parts if part) + "\n"


def contents() -> str:
    """Every command with its summary, by group."""
    lines: list[str] = []
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines += ["", f"**{group}**", ""]
        lines += [
            f"- [`{command.name}`](#{command.name}): {command.summary}"
            for command in COMMANDS.values()
            if command.group == group
        ]
    return "\n".join(lines).strip()


def common_options() -> dict[str, argparse.Action]:
    """The options which every command has, by name."""
    every = [{name(each): each for each in leaf.actions()} for leaf in every_leaf()]
    return {key: action for key, action in every[0].items() if all(key in each for each in every)}


class Leaf:
    """One command that can be run: `mainstay backup now`."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser

    @property
    def usage(self) -> str:
        usage = " ".join(self.parser.format_usage().split())
        return usage.removeprefix("usage: ")

    def actions(self) -> list[argparse.Action]:
        return [action for action in self.parser._actions if action.help != argparse.SUPPRESS]


def every_leaf() -> Iterator[Leaf]:
    """Every command that can be run."""
    for command in COMMANDS.values():
        yield from map(Leaf, leaves(parser_of(command)))


def section(command: Command, shared: dict[str, argparse.Action]) -> Iterator[str]:
    """One command with all that stands below it."""
    parser = parser_of(command)
    yield f"## {command.name}"
    yield inspect.cleandoc(parser.description or "")
    for leaf in map(Leaf, leaves(parser)):
        if leaf.parser is not parser:
            yield f"### {leaf.parser.prog.removeprefix('mainstay ')}"
            yield inspect.cleandoc(leaf.parser.description or sentence(parser, leaf.parser))
        yield f"```\n{leaf.usage}\n```"
        yield table(action for action in leaf.actions() if name(action) not in shared)


def name(action: argparse.Action) -> str:
    """How an argument is written."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
    metavar = action.metavar if isinstance(action.metavar, str) else choices or action.dest.upper()
    takes = "" if action.nargs == 0 else f" {metavar}"
    return ", ".join(f"`{option}{takes}`" for option in action.option_strings)


def table(actions: Iterable[argparse.Action]) -> str:
    """Arguments and their meaning; nothing when there are none."""
    rows = [f"| {cell(name(action))} | {cell(meaning(action))} |" for action in actions]
    return "\n".join([HEAD, *rows]) if rows else ""


def meaning(action: argparse.Action) -> str:
    """The help of an argument."""
    return (action.help or "") % {"default": action.default, "prog": "mainstay"}


def sentence(parser: argparse.ArgumentParser, below: argparse.ArgumentParser) -> str:
    """What the command's own list of commands says about one of them."""
    last = below.prog.rpartition(" ")[2]
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    said = next(
        (each.help or "" for group in groups for each in group._choices_actions if each.dest == last), ""
    )
    return f"{said[:1].upper()}{said[1:]}."
