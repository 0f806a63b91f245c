"""A JSON schema in the words of people: `duration`, `list of text`, `one of a, b`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mainstay.core.units import format_duration, format_size

Schema = Mapping[str, Any]
Link = Callable[[Schema], str | None]

WORDS = {"string": "text", "integer": "number", "number": "number", "boolean": "yes or no", "null": "nothing"}
DURATION = "5s"
SIZE = "200MB"
PERCENT = "80%"
PLAIN = frozenset({DURATION, SIZE, PERCENT})


def spell(schema: Schema, link: Link) -> str:
    """What may be written for a value. `link` knows the schemas which have a place of their own in the pages."""
    if found := link(schema):
        return found
    if special := _special(schema):
        return special
    if choices := _choices(schema):
        return _joined(dict.fromkeys(spell(choice, link) for choice in choices))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {spell(schema.get('items', {}), link)}"
    if kind == "object":
        return _mapping(schema, link)
    if isinstance(kind, list):
        return _joined(dict.fromkeys(WORDS[each] for each in kind))
    return WORDS.get(str(kind), "anything")


def _special(schema: Schema) -> str | None:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if DURATION in schema.get("examples", ()):
        return "duration"
    if SIZE in schema.get("examples", ()):
        return "size"
    if PERCENT in schema.get("examples", ()):
        return "percentage"
    if set(schema.get("properties", ())) == {"secret"}:
        return "`{secret: NAME}`"
    return None


def _choices(schema: Schema) -> list[Schema]:
    """The alternatives, without "nothing", which a missing option says already."""
    every: Iterator[Schema] = (each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, ()))
    return [each for each in every if each.get("type") != "null"]


def _mapping(schema: Schema, link: Link) -> str:
    inner = schema.get("additionalProperties")
    patterns = schema.get("patternProperties")
    if isinstance(patterns, dict) and patterns:
        inner = next(iter(patterns.values()))
    if isinstance(inner, dict) and inner:
        return f"mapping of names to {spell(inner, link)}"
    if properties := schema.get("properties"):
        return "mapping with " + ", ".join(
            f"`{name}` ({spell(each, link)})" for name, each in properties.items()
        )
    return "mapping"


def _joined(words: Mapping[str, None]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def default(schema: Schema, required: bool) -> str:
    """What holds when the option is left out."""
    if required:
        return "**required**"
    value = schema.get("default")
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if DURATION in _examples(schema):
            return f"`{format_duration(value)}`"
        if SIZE in _examples(schema):
            return f"`{format_size(value)}`"
        if PERCENT in _examples(schema):
            return f"`{value:g}%`"
    if isinstance(value, list) and all(isinstance(each, list) and len(each) == 2 for each in value):
        return ", ".join(f"`{low}-{high}`" for low, high in value)
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """A value as it would be written in the file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_yaml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _examples(schema: Schema) -> list[Any]:
    nested = [example for choice in _choices(schema) for example in choice.get("examples", ())]
    return [*schema.get("examples", ()), *nested]


def example(schema: Schema) -> str:
    """A sentence with an example, where the schema gives one that says more than the words do."""
    found = _examples(schema)
    if not found or not PLAIN.isdisjoint(map(str, found)):
        return ""
    shown = found[0] if isinstance(found[0], str) else json.dumps(found[0])
    return f" Example: `{shown}`."


def cell(text: str) -> str:
    """Text that fits into one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
