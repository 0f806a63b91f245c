"""Shares, as people write them: `80%` or `80`."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, WithJsonSchema


def parse_percent(value: Any) -> float:
    """Give the number of percent that `80%`, `"80"` or `80` means, from 0 to 100."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%?\s*", str(value))
    if isinstance(value, bool) or found is None or float(found[1]) > 100:
        raise ValueError(f"{value!r} is not a share; write it like 80%")
    if 0 < float(found[1]) < 1 and "%" not in str(value):
        raise ValueError(f"{value!r} would be less than one percent; write it like 80%, or with a % sign")
    return float(found[1])


Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "number", "minimum": 0, "maximum": 100}],
            "description": "a share in percent",
            "examples": ["80%"],
        }
    ),
]
"""Percent, written `80%` or as a bare number from 0 to 100."""


def in_order(settings: BaseModel, warn: str, fail: str) -> None:
    """Refuse a share to warn from that lies above the one to fail from. From 100% on nobody wants to be warned."""
    low, high = getattr(settings, warn), getattr(settings, fail)
    if warn in settings.model_fields_set and high < low < 100:
        raise ValueError(f"{warn} is {low:g}%, above {fail} at {high:g}%; raise {fail} too")


def share(part: float, whole: float) -> float:
    """Give how many percent of `whole` the `part` is, to one decimal; all of nothing is 0."""
    return round(100.0 * part / whole, 1) if whole else 0.0
