"""A page of the documents as a list of things to do, read from its fenced blocks.

A comment before a fence says what the page's reader knows without it:

    <!-- file: NAME -->   the block is the contents of this file
    <!-- exit: CODE -->   the last command ends with this exit code (0 otherwise)
    <!-- until: 60s -->   do it again until it says what is expected, at most so long
    <!-- not run -->      it cannot be done here
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Step:
    """One block: commands to run, or a file to write. `expected` are the lines that the commands say."""

    where: str
    language: str
    text: str
    file: str | None = None
    exit: int = 0
    until: float | None = None
    skipped: bool = False
    expected: tuple[str, ...] = field(default=())

    def without(self, line: str) -> Step:
        """The same without a line, for what a test has done already."""
        return replace(self, text=self.text.replace(f"{line}\n", ""))


def steps(page: Path, here: Mapping[str, object]) -> list[Step]:
    """The page's steps in order. Ports and directories that it names are exchanged for those that are free `here`."""
    text = page.read_text()
    for there, ours in here.items():
        text = re.sub(rf"(?<!\w){re.escape(there)}(?!\w)", str(ours), text)
    found: list[Step] = []
    for block in BLOCK.finditer(text):
        where = f"{page.name}:{text[: block.start('language')].count(chr(10)) + 1}"
        if block["language"] == "text":
            found[-1] = replace(found[-1], expected=tuple(block["text"].splitlines()))
        else:
            found.append(_step(where, block["language"], block["text"], block["note"] or ""))
    return found


def _step(where: str, language: str, text: str, note: str) -> Step:
    name, _, value = note.partition(": ")
    match name:
        case "file":
            return Step(where, language, text, file=value)
        case "exit":
            return Step(where, language, text, exit=int(value))
        case "until":
            return Step(where, language, text, until=float(value.removesuffix("s")))
        case "not run":
            return Step(where, language, text, skipped=True)
        case "":
            return Step(where, language, text)
    raise ValueError(f"{where}: nobody knows what {note!r} means")


def unsaid(expected: tuple[str, ...], said: str) -> list[str]:
    """The expected lines that are not among what was said.

    Where the page shows a word with a digit in it (a time, a size, an identifier) any word will do; `...` stands for
    anything.
    """
    lines = said.splitlines()
    return [
        line for line in expected if not any(_pattern(line).search(each) for each in lines) and line != "..."
    ]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(_word(word) for word in line.split()))


def _word(word: str) -> str:
    if word == "...":
        return ".*"
    if word in MONTHS:
        return r"\w+"
    if re.search(r"\d", word):
        return r"\S+(?: \S+)?"  # 58s becomes 1m 3s
    return ".*".join(re.escape(part) for part in word.split("..."))
