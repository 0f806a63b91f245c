"""What the YAML parser complains about, in words that name a remedy."""

import re
import warnings
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import Node

from mainstay.core.errors import ConfigError

DEEPEST = 100

_WORDS: list[tuple[str, str, str]] = [
    (r"'\\t'", "a tab where YAML wants spaces", "indent with spaces"),
    (
        r"mapping values are not allowed",
        "a colon too many, or a line indented too far",
        "quote text that contains ': '",
    ),
    (
        r"escape character|hexdecimal",
        "an unknown escape in double quotes",
        "use single quotes for text with backslashes",
    ),
    (r"character '[@`%]'", "text may not start with this character", "put it in quotes"),
    (r"character '([^']+)'", "an unexpected character", "put the text in quotes"),
    (r"unexpected end of stream", "a quote is opened and never closed", "close the quote that starts here"),
    (r"got '<stream end>'", "a bracket or brace is opened and never closed", "close what starts here"),
    (
        r"expected ',' or",
        "a comma or a closing bracket is missing",
        "check the brackets of this line and the one before",
    ),
    (
        r"expected <block end>",
        "the indentation does not fit the lines above",
        "give siblings the same indentation",
    ),
    (r"could not find expected ':'", "a colon is missing after a key", "write `key: value`"),
    (r"another document", "a second document starts here (---)", "keep one document in a file"),
    (
        r"undefined alias",
        "an alias (*name) without its anchor (&name)",
        "define &name before it, or quote the text",
    ),
    (r"found duplicate anchor", "an anchor (&name) is defined twice", "rename one of them"),
    (
        r"undefined tag handle|tag",
        "a tag (!name) that is not known here",
        "remove the tag; plain YAML is enough",
    ),
    (
        r"block entry|sequence entries",
        "a list item (-) in the wrong place",
        "put the list on lines of its own, indented",
    ),
    (
        r"flow|block|expected",
        "the structure is broken here",
        "check indentation, colons and quotes of this line",
    ),
]


def compose(text: str, shown: str) -> Node | None:
    """Give the root node of the only document, None when there is nothing. Raises `ConfigError` with the line."""
    line = _too_deep(text)
    if line:
        raise ConfigError(
            "is nested too deeply", where=f"{shown}:{line}", hint="close the brackets, or use fewer"
        )
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root: Node | None = yaml.compose(text)
            return root
    except MarkedYAMLError as fault:
        what, hint = _words(fault)
        raise ConfigError(what, where=f"{shown}:{_line(fault)}", hint=hint) from None
    except (YAMLError, ValueError, RecursionError):
        raise ConfigError(
            "is not YAML", where=f"{shown}:1", hint="check that this is the right file"
        ) from None


def _too_deep(text: str) -> int | None:
    """Give the line on which brackets are nested too deeply: the parser would take minutes and then overflow."""
    depth = 0
    for number, line in enumerate(text.split("\n"), 1):
        for letter in line:
            depth += (letter in "[{") - (letter in "]}")
        if depth > DEEPEST:
            return number
    return None


def _words(fault: Any) -> tuple[str, str]:
    said = f"{fault.context or ''} {fault.problem or ''}"
    for pattern, what, hint in _WORDS:
        if re.search(pattern, said):
            return what, hint
    return f"is not YAML: {fault.problem}", "check indentation, colons and quotes of this line"


def _line(fault: Any) -> int:
    """The line where what is wrong begins: an unclosed quote is where it was opened, not the end of the file."""
    said = fault.problem or ""
    unclosed = "end of stream" in said or "<stream end>" in said
    mark = (
        (fault.context_mark if unclosed else fault.problem_mark) or fault.problem_mark or fault.context_mark
    )
    return int(mark.line) + 1 if mark else 1
