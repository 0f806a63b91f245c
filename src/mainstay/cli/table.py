"""Plain tables that fit the terminal. A table library would cost more start-up than everything else together."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mainstay.cli.output import Output, Text

Cell = str | Text

GAP = "  "
NARROWEST = 16


class Column(NamedTuple):
    """A column. One that may `wrap` gets what room the others leave.

    A last one that is `spare` is cut to that room, or left out when it is too little to say anything.
    """

    title: str
    right: bool = False
    wrap: bool = False
    spare: bool = False


def show(
    out: Output,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    indent: str = "  ",
    notes: Sequence[Cell] = (),
) -> None:
    """Print a table; nothing for no rows. Columns that are empty in every row are left out.

    `notes` are what is too long for a column: the text of each row stands below it, an empty one nowhere.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    used = [index for index, _ in enumerate(columns) if any(row[index][0] for row in cells)]
    if used and columns[used[-1]].spare and out.width is not None:
        used = _without_spare(columns, cells, used, out.width - len(indent))
    if not used:
        return
    columns = [columns[index] for index in used]
    cells = [[row[index] for index in used] for row in cells]
    widths = _widths(columns, cells, out.width, len(indent))
    if any(column.title for column in columns):
        heads: list[Text] = [(column.title, "dim") for column in columns]
        _line(out, columns, heads, widths, indent)
    for number, row in enumerate(cells):
        for line in _lines(columns, row, widths):
            _line(out, columns, line, widths, indent)
        if number < len(notes):
            _note(out, _text(notes[number]), indent + " " * 3)


def _without_spare(
    columns: Sequence[Column], rows: list[list[Text]], used: list[int], room: int
) -> list[int]:
    """Cut the last column to the room that is left, and leave it out when that is too little."""
    last = used[-1]
    taken = sum(
        max(width(columns[index].title), *(width(row[index][0]) for row in rows)) + len(GAP)
        for index in used[:-1]
    )
    if room - taken < NARROWEST:
        return used[:-1]
    for row in rows:
        text, style = row[last]
        row[last] = _cut(text, room - taken), style
    return used


def _cut(text: str, room: int) -> str:
    if width(text) <= room:
        return text
    while width(text) >= room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _note(out: Output, note: Text, indent: str) -> None:
    text, style = note
    if text:
        room = None if out.width is None else max(NARROWEST, out.width - len(indent))
        for line in [text] if room is None else _wrapped(text, room):
            out.print(indent, (line, style))


def _text(cell: Cell) -> Text:
    return (cell, "") if isinstance(cell, str) else cell


def _widths(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], room: int | None, indent: int
) -> list[int]:
    widths = [
        max(width(column.title), *(width(row[index][0]) for row in rows))
        for index, column in enumerate(columns)
    ]
    if room is None:
        return widths
    over = sum(widths) + len(GAP) * (len(widths) - 1) + indent - room
    for index, column in reversed(list(enumerate(columns))):
        if column.wrap and over > 0:
            less = min(over, max(0, widths[index] - NARROWEST))
            widths[index] -= less
            over -= less
    return widths


def _lines(columns: Sequence[Column], row: Sequence[Text], widths: Sequence[int]) -> Iterator[list[Text]]:
    parts = [
        list(_wrapped(text, widths[index])) if columns[index].wrap else [text]
        for index, (text, _) in enumerate(row)
    ]
    for number in range(max(map(len, parts))):
        yield [
            (part[number] if number < len(part) else "", row[index][1]) for index, part in enumerate(parts)
        ]


def _wrapped(text: str, room: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        while width(word) > room:
            if line:
                yield line
                line = ""
            yield word[:room]
            word = word[room:]
        if line and width(line) + 1 + width(word) > room:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _line(
    out: Output, columns: Sequence[Column], cells: Sequence[Text], widths: Sequence[int], indent: str
) -> None:
    parts: list[Cell] = [indent]
    last = max((index for index, (text, _) in enumerate(cells) if text), default=0)
    for index, (text, style) in enumerate(cells[: last + 1]):
        space = " " * (widths[index] - width(text))
        if columns[index].right:
            parts += [space, (text, style)]
        else:
            parts += [(text, style), space if index < last else ""]
        parts.append(GAP if index < last else "")
    out.print(*parts)


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
