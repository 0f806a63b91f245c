"""Conditions on values, as people write them: `ok`, `> 5`, `~ ^2\\.`, `!= null`."""

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Scalar = str | int | float | bool | None

_FORM = re.compile(r"\s*(>=|<=|!=|=|>|<|~)\s*(.*)", re.DOTALL)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
MISSING = object()
"""Stands for a value that is not there; only `!=` holds for it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with a fixed value."""

    sign: str
    wanted: Scalar

    def holds(self, value: Any) -> bool:
        """Say whether the condition is true of `value`.

        Numbers are compared by value; nothing else equals anything of another type: `5` is not `"5"`.
        """
        if self.sign == "!=":
            return not _equal(value, self.wanted)
        if value is MISSING:
            return False
        if self.sign == "~":
            return re.search(str(self.wanted), _text(value)) is not None
        if self.sign == "=":
            return _equal(value, self.wanted)
        number = as_number(value)
        return number is not None and _ORDER[self.sign](number, self.wanted)

    def __str__(self) -> str:
        return f"{self.sign} {_text(self.wanted) if self.sign == '~' else json.dumps(self.wanted)}"


def parse_condition(value: Any) -> Condition:
    """Read a condition: a bare value must be equal; text may begin with `= != > >= < <= ~` (regular expression).

    After a sign `5`, `true` and `null` mean the number, the truth value and nothing; all else is text.
    """
    if isinstance(value, Condition):
        return value
    found = _FORM.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise ValueError("write a plain value, or a comparison like '> 5' or '~ ^ok'")
        return Condition("=", value)
    sign, text = found[1], found[2].strip()
    if sign == "~":
        try:
            re.compile(text)
        except re.error as fault:
            raise ValueError(f"{text!r} is not a regular expression: {fault}") from None
        return Condition(sign, text)
    wanted = _literal(text)
    if sign in _ORDER and as_number(wanted) is None:
        raise ValueError(f"{sign} compares numbers, and {text!r} is none")
    return Condition(sign, wanted)


def as_number(value: Any) -> float | int | None:
    """Give the number that a value is, or that it is the text of; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def find(document: Any, path: str) -> Any:
    """Give what stands at a dotted path (`queue.workers.0.state`; a number counts from 0 in a list), or `MISSING`."""
    for part in path.split(".") if path else []:
        if isinstance(document, dict):
            document = document.get(part, MISSING)
        elif (
            isinstance(document, list)
            and re.fullmatch(r"-?\d+", part)
            and -len(document) <= int(part) < len(document)
        ):
            document = document[int(part)]
        else:
            return MISSING
    return document


def show(value: Any) -> str:
    """Write a value that was found, shortly."""
    if value is MISSING:
        return "missing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:79] + "…"


def _literal(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, (str, int, float, bool)) else text


def _equal(value: Any, wanted: Scalar) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Expecting:
    """Annotation that reads a condition, `null` too: with a default of None, None means that nothing was written."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            parse_condition, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": ["string", "number", "boolean", "null"],
            "description": "a value to be equal to, or a comparison: = != > >= < <= or ~ (regular expression)",
            "examples": ["ok", "> 5", "~ ^2"],
        }


Expected = Annotated[Condition, Expecting]
"""A value to be equal to, or a comparison: `> 5`, `<= 0.5`, `!= null`, `~ ^ok` (regular expression)."""
