"""How often: `100/min`, and what a limiter needs to know of it."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from mainstay.core.plugin import Settings

_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_UNITS |= {"d": 86400, "day": 86400}
_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,6})?\s*([a-z]+)\s*")
UNLIMITED = "unlimited"


def parse_rate(text: Any) -> tuple[int, int] | None:
    """Give (requests, seconds) that `text` means, or None for `unlimited`."""
    if text is None or text == UNLIMITED:
        return None
    if isinstance(text, tuple):
        return text
    found = _RATE.fullmatch(text.lower()) if isinstance(text, str) else None
    if not found or found[3] not in _UNITS or int(found[1]) < 1 or int(found[2] or 1) < 1:
        raise ValueError(f"{text!r} is not a rate; write it like 100/min, 10/s, 5000/day or unlimited")
    seconds = int(found[2] or 1) * _UNITS[found[3]]
    if seconds > 31 * 86400:
        raise ValueError(f"{text!r} counts over more than a month; write a rate over a day or less")
    return int(found[1]), seconds


Rate = Annotated[
    tuple[int, int] | None,
    BeforeValidator(parse_rate),
    WithJsonSchema(
        {
            "type": "string",
            "description": "a rate: 100/min, 10/s, 5000/day or unlimited",
            "examples": ["100/min", "10/s"],
        }
    ),
]
"""Requests and the seconds that they are counted over, written `100/min`; None is `unlimited`."""


class LimitSettings(Settings):
    """How many requests, and how many of them at once."""

    rate: Rate
    """How many requests in how long: `100/min`, `10/s`, `5000/day` or `unlimited`."""
    burst: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """How many may come at once after a quiet time; the whole of the rate when left out."""

    @model_validator(mode="before")
    @classmethod
    def _spelt_out(cls, data: Any) -> Any:
        if isinstance(data, int | float) and not isinstance(data, bool):
            raise ValueError(f"{data:g} in how long is not said; write it like {data:g}/min, or unlimited")
        return {"rate": data} if isinstance(data, str) else data

    @property
    def quota(self) -> int:
        """Requests that the rate allows within `window` seconds; 0 when there is no limit."""
        return self.rate[0] if self.rate else 0

    @property
    def window(self) -> int:
        """Seconds that the rate is counted over; 0 when there is no limit."""
        return self.rate[1] if self.rate else 0

    @property
    def most(self) -> int:
        """Requests that may come at once."""
        return self.burst or self.quota


Limit = Annotated[
    LimitSettings,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "description": "a rate: 100/min, 10/s, 5000/day or unlimited"},
                {
                    "type": "object",
                    "properties": {
                        "rate": {"type": "string", "examples": ["100/min"]},
                        "burst": {"type": "integer", "minimum": 1},
                    },
                    "required": ["rate"],
                    "additionalProperties": False,
                },
            ],
            "examples": ["100/min"],
        }
    ),
]
"""A limit: `100/min`, or `{rate: 100/min, burst: 20}`."""


def limit(text: str) -> LimitSettings:
    """Make a limit out of what stands in a file; for defaults."""
    return LimitSettings.model_validate(text)
