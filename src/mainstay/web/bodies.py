"""Shows the body of a webhook to people: as it came, only with lines broken where its own form breaks them."""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

MOST = 64 * 1024
"""Bytes of a body that are shown, and compared."""
HEX = 512
DEEPEST = 64
"""Levels of a document that are shown one inside of the other; what lies deeper stands on one line."""
COMPARED = 2000
"""Lines of a body that are compared; the time for it grows with their square."""


class _Raw(str):
    """A number as it was written: `10.0` and `1e2` stay what they are."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written: a key that stands twice stands twice."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A body in lines. `form` says what it was taken for; `cut` whether only its beginning is shown."""

    form: str
    lines: tuple[str, ...]
    cut: bool = False

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def shown(body: bytes, content_type: str) -> Shown:
    """Break a body into lines."""
    cut = len(body) > MOST
    part = body[:MOST]
    if not body:
        return Shown("empty", ())
    if not cut and (document := _json(part)) is not None:
        return Shown("JSON", tuple(_lines(document)))
    try:
        text = part.decode("utf-8", "strict" if not cut else "ignore")
    except UnicodeDecodeError:
        return Shown("binary", tuple(_hex(part[:HEX])), len(body) > HEX)
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded" and not cut:
        return Shown(
            "form", tuple(f"{name} = {value}" for name, value in parse_qsl(text, keep_blank_values=True))
        )
    return Shown("text", tuple(text.splitlines()), cut)


def difference(before: Shown, after: Shown) -> list[tuple[str, str]]:
    """Give (`+`, `-` or a blank, line) of what changed, with three lines around it; nothing when nothing did."""
    old, new = before.lines[:COMPARED], after.lines[:COMPARED]
    found = difflib.unified_diff(old, new, lineterm="", n=3)
    kept = [line for line in found if not line.startswith(("---", "+++"))][
        1:
    ]  # nothing is left out before the first
    told = [("@", "") if line.startswith("@@") else (line[0], line[1:]) for line in kept]
    if before.lines[COMPARED:] != after.lines[COMPARED:]:
        told.append(("@", ""))  # it goes on, and nobody has looked
    return told


def _json(body: bytes) -> Any:
    try:
        return json.loads(
            body, parse_int=_Raw, parse_float=_Raw, parse_constant=_Raw, object_pairs_hook=_Pairs
        )
    except (ValueError, RecursionError):
        return None


def _lines(value: Any, before: str = "", indent: str = "", after: str = "") -> Iterator[str]:
    inner = indent + "  "
    if len(indent) >= 2 * DEEPEST:
        yield f"{indent}{before}{_flat(value)}{after}"
    elif isinstance(value, _Pairs) and value:
        yield f"{indent}{before}{{"
        for index, (key, one) in enumerate(value):
            comma = "," if index < len(value) - 1 else ""
            yield from _lines(one, f"{json.dumps(key, ensure_ascii=False)}: ", inner, comma)
        yield f"{indent}}}{after}"
    elif isinstance(value, list) and value and not isinstance(value, _Pairs):
        yield f"{indent}{before}["
        for index, one in enumerate(value):
            yield from _lines(one, "", inner, "," if index < len(value) - 1 else "")
        yield f"{indent}]{after}"
    else:
        yield f"{indent}{before}{_plain(value)}{after}"


def _flat(value: Any) -> str:
    """Write on one line what lies too deep, nothing of what is too deep for Python as well."""
    try:
        return _on_one_line(value)
    except RecursionError:
        return "…"


def _on_one_line(value: Any) -> str:
    if isinstance(value, _Pairs):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {_on_one_line(one)}" for key, one in value)
        return "{" + ", ".join(pairs) + "}"
    return "[" + ", ".join(map(_on_one_line, value)) + "]" if isinstance(value, list) else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, _Pairs):
        return "{}"
    return json.dumps(value, ensure_ascii=False)


def _hex(body: bytes) -> Iterator[str]:
    for start in range(0, len(body), 16):
        piece = body[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        yield f"{start:06x}  {piece.hex(' '):<47}  {text}"
