"""Turns what validation says into one line per fault: file, line, option, what is wrong, what to do."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mainstay.config.document import Document, Where, spell
from mainstay.core.errors import ConfigError
from mainstay.core.secret import redact

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST_SHOWN = 20
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (NAME: ...)",
    "model_type": "a mapping of options",
    "model_attributes_type": "a mapping of options",
    "path_type": "a path",
    "is_instance_of": "something else",
}


class ConfigProblems(ConfigError):
    """A configuration with faults: `problems` has every one of them, in the order of the file."""

    def __init__(self, problems: Iterable[ConfigError]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.what for problem in self.problems))

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"... and {len(self.problems) - MOST_SHOWN} more")
        return "\n".join(lines)


def collect(document: Document, faults: "Iterable[ErrorDetails]") -> ConfigProblems:
    """Give the faults of a document as people should read them, sorted by line, each place once."""
    found: dict[tuple[Where, str], tuple[int, ConfigError]] = {}
    placed = [(fault, *place(document.data, fault["loc"], fault["type"])) for fault in faults]
    misspelt = {(*path[:-1], _meant(path)) for fault, path, _ in placed if fault["type"] == "extra_forbidden"}
    for fault, path, missing in placed:
        if missing and (*path, missing) in misspelt:
            continue  # it is there, under a wrong name, which is said already
        what, hint = describe(path, missing, fault)
        problem = ConfigError(redact(what), where=document.where(path), hint=redact(hint))
        found.setdefault((path, what), (document.line(path), problem))
    return ConfigProblems(problem for _, problem in sorted(found.values(), key=lambda pair: pair[0]))


def place(data: Any, loc: Iterable[int | str], kind: str) -> tuple[Where, str]:
    """Give the path in the file of a fault, and the name of what is missing there, if anything is.

    Validation adds steps that are not in the file (the chosen type, the option that a bare value sets): they are
    left out, because only what somebody wrote can be pointed at.
    """
    path: list[int | str] = []
    parts = list(loc)
    missing = str(parts.pop()) if kind == "missing" and parts else ""
    while parts:
        if _beside(data, parts):
            del parts[:2]
            continue
        part = parts.pop(0)
        found, inner = _step(data, part)
        if found:
            data = inner
            path.append(part)
    return tuple(path), missing


def _beside(data: Any, ahead: list[int | str]) -> bool:
    """Whether two steps name the type of something whose options stand beside it: `{command: [...], at: ...}`."""
    return isinstance(data, Mapping) and len(data) > 1 and len(ahead) > 1 and ahead[0] == ahead[1]


def _step(data: Any, part: int | str) -> tuple[bool, Any]:
    if isinstance(data, Mapping):
        return part in data, data.get(part)
    if isinstance(data, list) and isinstance(part, int):
        return part < len(data), data[part] if part < len(data) else None
    return False, None


def describe(path: Where, missing: str, fault: "ErrorDetails") -> tuple[str, str]:
    """Give what is wrong and what to do about it."""
    kind, given, context = fault["type"], fault.get("input"), fault.get("ctx", {})
    if kind == "missing":
        return f"{missing} is missing", _about((*path, missing), f"write {missing}: ...")
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "plugin_type":
        return _no_such_type(fault["msg"], given, path)
    if kind in _TYPES:
        allowed = " or ".join([*_words_for(path), _TYPES[kind]])
        return f"must be {allowed}, not {_kind(given)}", _remedy(kind, given) or _about(path)
    if kind == "secret":
        return _split(fault["msg"], path, otherwise="put the value into the file named by MAINSTAY_NAME_FILE")
    if kind in {"value_error", "secret_missing", "url"}:
        return _split(str(context.get("error") or fault["msg"]), path)
    if kind in {"too_short", "string_too_short", "too_long", "string_too_long"}:
        return _length(kind, context, path)
    if kind in {"literal_error", "enum"}:
        return _choice(str(context.get("expected", "")), given, path)
    if kind == "string_pattern_mismatch":
        return f"{_value(given)} is not allowed here", _pattern_hint(path, str(context.get("pattern")))
    text = fault["msg"].removeprefix("Input should ").removeprefix("be ").rstrip(".")
    words = text[:1].lower() + text[1:]
    return f"must be {words}, not {_value(given)}", _about(path)


def _length(kind: str, context: Mapping[str, Any], path: Where) -> tuple[str, str]:
    limit = context.get("min_length", context.get("max_length"))
    noun = "characters" if kind.startswith("string") else "items" if limit != 1 else "item"
    side = "at least" if kind.endswith("short") else "at most"
    return f"needs {side} {limit} {noun}", _about(path)


def _pattern_hint(path: Where, pattern: str) -> str:
    if pattern == NAME_PATTERN:
        return "a name has letters, digits, _ . and -, and no more than 63 of them"
    return f"{_about(path)}; it must match {pattern}"


def _meant(path: Where) -> str | None:
    from mainstay.config import schema

    return meant(str(path[-1]), schema.options(path[:-1]))


def _unknown(path: Where) -> tuple[str, str]:
    from mainstay.config import schema

    known = schema.options(path[:-1])
    guess = _meant(path)
    if guess:
        return f"unknown option; did you mean {guess}?", schema.description((*path[:-1], guess)).rstrip(
            "."
        ) or f"write {guess}"
    around = f" in {spell(path[:-1])}" if len(path) > 1 else " at the top"
    return "unknown option", f"known{around}: {', '.join(known)}" if known else "remove it"


def _no_such_type(message: str, given: Any, path: Where) -> tuple[str, str]:
    base, _, types = message.partition("; known types: ")
    name = given if isinstance(given, str) else next(iter(given), "") if isinstance(given, dict) else ""
    if isinstance(given, dict) and len(given) != 1:
        return _not_one_type(base, given, types)
    guess = meant(str(name), types.split(", "))
    what, hint = f"{base.replace('not a ', 'no such ')} type: ", f"known types: {types}"
    if guess is None and isinstance(given, dict) and (named := meant(str(path[-1]), types.split(", "))):
        # The name may be the type, and then it is the name that is misspelt, or stands where a name is wanted.
        if named == path[-1]:
            return f"{base}: the type stands where a name is wanted", f"write NAME: {{{named}: {{...}}}}"
        return (
            f"{what}{path[-1]!r}; did you mean {named}?",
            f"{hint}; under other names write {{TYPE: options}}",
        )
    if path[0] == "jobs":
        hint += "; backups, proofs and healing come by themselves from databases: and services:"
    what = f"{what}{_value(name)}" if name else base
    return (f"{what}; did you mean {guess}?" if guess else what), hint


def _not_one_type(base: str, given: Mapping[str, Any], types: str) -> tuple[str, str]:
    known = [name for name in given if name in types.split(", ")]
    if len(known) == 1:
        others = [name for name in given if name != known[0]]
        words = ", ".join(others)
        return (
            f"{words} {'stands' if len(others) == 1 else 'stand'} beside {known[0]}, not among its options",
            f"write {known[0]}: {{..., {': ..., '.join(others)}: ...}}",
        )
    return f"{base}: it needs exactly one type, not {len(given)}", f"write {{TYPE: options}}; types: {types}"


def _choice(expected: str, given: Any, path: Where) -> tuple[str, str]:
    words = expected.replace("'", "")
    guess = meant(str(given), words.replace(" or ", ", ").split(", "))
    return f"must be {words}, not {_value(given)}" + (f"; did you mean {guess}?" if guess else ""), _about(
        path, f"choose {words}"
    )


def _split(message: str, path: Where, otherwise: str = "") -> tuple[str, str]:
    """Sentences of the rooms read `WHAT; REMEDY`."""
    what, _, remedy = message.removeprefix("Value error, ").partition("; ")
    return what, remedy or otherwise or _about(path)


def _about(path: Where, otherwise: str = "mainstay config schema tells what may stand here") -> str:
    """The remedy out of the documentation: what the option means, and an example."""
    from mainstay.config import schema

    text = schema.description(path).rstrip(".")
    examples = schema.examples(path)
    if examples:
        example = f"write it like {examples[0]}"
        return f"{text}; {example}" if text else example
    return text or otherwise


def _words_for(path: Where) -> list[str]:
    """Give the single words that may stand at a path instead of options."""
    from mainstay.config import schema

    return [str(choice["const"]) for choice in schema.at(path) if "const" in choice]


def _remedy(kind: str, given: Any) -> str:
    if kind == "string_type" and isinstance(given, (int, float)):
        return f'put it in quotes: "{_value(given)}"'
    if kind == "bool_type":
        return "write true or false, without quotes"
    if kind == "list_type" and isinstance(given, (str, int, float)):
        return f"write a list: [{given}]"
    if kind == "list_type" and isinstance(given, dict):
        return "write a list: each item on a line of its own that starts with a dash"
    if kind in {"int_type", "float_type"} and isinstance(given, str):
        return "write a number, without quotes or unit"
    return ""


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return _value(value)


def _value(value: Any) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def meant(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that somebody probably meant."""
    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return close[0]
    lowered = {choice.lower().replace("-", "_"): choice for choice in choices}
    return lowered.get(word.lower().replace("-", "_"))
