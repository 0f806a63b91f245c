"""Named queries: SQL lives in `queries/NOUN.sql`, never in Python, and one text serves both databases.

-- name: due
-- Runs that may start now, oldest first.
SELECT id FROM run WHERE next_try_at <= :now ORDER BY next_try_at LIMIT :limit;

-- name: due (postgres)
-- The same, leaving out what another node is just taking.
SELECT id FROM run WHERE next_try_at <= :now ORDER BY next_try_at LIMIT :limit FOR UPDATE SKIP LOCKED;

A change that `Tx.many` makes for many rows may have a text `(postgres together)`, in which each parameter is an array:
one statement for all of them, instead of one journey through the server's planner for each.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

QUERIES = Path(__file__).parent / "queries"

_HEAD = re.compile(
    r"^--[ \t]*name:[ \t]*(\w+)[ \t]*(?:\((sqlite|postgres|postgres[ ]together)\))?[ \t]*$", re.MULTILINE
)
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* )
    | (?P<block>   /\* )
    | (?P<escaped> (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*' )
    | (?P<string>  '(?:[^']|'')*' )
    | (?P<ident>   "(?:[^"]|"")*" )
    | (?P<dollar>  (?<![\w$])\$(?:[A-Za-z_]\w*)?\$ )
    | (?P<cast>    :: )
    | (?P<param>   :(?P<key>[A-Za-z_]\w*) )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Query:
    """One statement, ready for its database; `params` are the names that it needs."""

    __slots__ = ("about", "name", "params", "text")

    def __init__(self, name: str, text: str, about: str, params: frozenset[str]) -> None:
        self.name = name
        self.text = text
        self.about = about
        self.params = params

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Give the parameters as both databases take them; raises `TypeError` naming those that are missing."""
        try:
            return {name: plain(given[name]) for name in self.params}
        except KeyError:
            raise self._incomplete(given) from None

    def numbered(self) -> tuple[str, tuple[str, ...]]:
        """Give SQLite's text with numbers for names, and the names in the order of their numbers.

        A tuple is bound in half the time that a mapping takes.
        """
        order = tuple(sorted(self.params))
        places = {name: f"?{number}" for number, name in enumerate(order, 1)}
        return _replaced(self.text, places.__getitem__, str), order

    def ordered(self, rows: Iterable[Mapping[str, Any]], order: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """Give many rows' parameters as tuples; raises `TypeError` naming those that are missing."""
        made = []
        for row in rows:
            try:
                made.append(_clean(tuple([row[name] for name in order])))
            except KeyError:
                raise self._incomplete(row) from None
        return made

    def _incomplete(self, given: Mapping[str, Any]) -> TypeError:
        missing = ", ".join(sorted(self.params - given.keys()))
        return TypeError(f"the query {self.name} needs {missing}")


def _clean(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give them as `plain` does, quickly when there is nothing to do."""
    for value in values:
        kind = type(value)
        if kind is str:
            if not value.isascii() or "\x00" in value:
                break
        elif kind is bool:
            break
    else:
        return values
    return tuple([plain(value) for value in values])


def plain(value: Any) -> Any:
    """Give a value that both databases take: truth as 0 or 1, and text without what UTF-8 or PostgreSQL cannot hold."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        text = str(value)
        if "\x00" in text:
            text = text.replace("\x00", "\ufffd")
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
    return value


def query(name: str, dialect: str) -> Query:
    """Give the query `file.name` in a dialect. Raises `LookupError` when there is none."""
    try:
        return _ready[dialect, name]
    except KeyError:
        pass
    file, _, short = name.partition(".")
    found = _file(file).get(short)
    if found is None:
        raise LookupError(f"there is no query {name}: see store/queries/{file}.sql")
    about, text = found.get(dialect) or found.get("") or (None, None)
    if text is None or about is None:
        raise LookupError(f"the query {name} has no text for {dialect}")
    text, params = translate(text, dialect.partition(" ")[0])
    _ready[dialect, name] = made = Query(name, text, about, params)
    return made


def together(name: str) -> Query | None:
    """Give the text of a query for many rows at once; None when it has none."""
    if name not in _together:
        query(name, "postgres")
        file, _, short = name.partition(".")
        has = "postgres together" in _file(file)[short]
        _together[name] = query(name, "postgres together") if has else None
    return _together[name]


_ready: dict[tuple[str, str], Query] = {}
_together: dict[str, Query | None] = {}


@cache
def _file(file: str) -> Mapping[str, Mapping[str, tuple[str, str]]]:
    path = QUERIES / f"{file}.sql"
    if not path.is_file():
        raise LookupError(f"there are no queries {file}: store/queries/{file}.sql is missing")
    return parse(path.read_text("utf-8"))


def parse(source: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Give {name: {dialect or "": (description, statement)}}. Raises `ValueError` for a doubled name."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    heads = list(_HEAD.finditer(source))
    for head, end in zip(heads, [h.start() for h in heads[1:]] + [len(source)], strict=True):
        name, dialect = head[1], head[2] or ""
        if dialect in found.setdefault(name, {}):
            raise ValueError(f"the query {name} stands twice")
        found[name][dialect] = _split(source[head.end() : end].strip())
    return found


def _split(body: str) -> tuple[str, str]:
    lines = body.split("\n")
    about: list[str] = []
    while lines and lines[0].startswith("--"):
        about.append(lines.pop(0).lstrip("- ").strip())
    return " ".join(about), "\n".join(lines).strip().rstrip(";").rstrip()


def translate(text: str, dialect: str) -> tuple[str, frozenset[str]]:
    """Give the text with placeholders as the driver wants them, and their names.

    `:name` inside strings, quoted names and comments is left alone, and so are casts (`::text`).
    """
    names: set[str] = set()

    def placed(name: str) -> str:
        names.add(name)
        return f"%({name})s" if dialect == "postgres" else f":{name}"

    return _replaced(text, placed, _doubled if dialect == "postgres" else str), frozenset(names)


def _replaced(text: str, placed: Callable[[str], str], escape: Callable[[str], str]) -> str:
    made: list[str] = []
    position = 0
    while token := _TOKEN.search(text, position):
        made.append(escape(text[position : token.start()]))
        position = _end(text, token)
        key = token["key"]
        made.append(escape(text[token.start() : position]) if key is None else placed(key))
    made.append(escape(text[position:]))
    return "".join(made)


def _doubled(text: str) -> str:
    return text.replace("%", "%%")


def _end(text: str, token: re.Match[str]) -> int:
    if token["dollar"] is not None:
        close = text.find(token[0], token.end())
        return len(text) if close < 0 else close + len(token[0])
    if token["block"] is not None:
        return _block_end(text, token.end())
    return token.end()


def _block_end(text: str, position: int) -> int:
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(text, position):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)
