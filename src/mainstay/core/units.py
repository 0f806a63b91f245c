"""Durations and sizes as people write them: `5s`, `1m30s`, `24h`, `200MB`."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from mainstay.core.amounts import format_duration, format_size

__all__ = [
    "Duration",
    "Rate",
    "Size",
    "format_duration",
    "format_size",
    "parse_duration",
    "parse_rate",
    "parse_size",
]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def parse_duration(text: Any) -> float:
    """Give the seconds that `text` means; a bare number is seconds."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if text < 0:
            raise ValueError("a duration cannot be negative")
        return float(text)
    if isinstance(text, str):
        parts = _PART.findall(text.strip())
        if parts and "".join(n + u for n, u in parts) == re.sub(r"\s+", "", text):
            return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    raise ValueError(f"{text!r} is not a duration; write it like 5s, 1m30s, 24h or 7d")


def parse_size(text: Any) -> int:
    """Give the bytes that `text` means: `10MB` is ten million, `10MiB` is 10 x 2^20."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if isinstance(text, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?i?B?)\s*", text, re.IGNORECASE)
        if found:
            unit = found[2].upper()
            unit = unit if not unit or unit.endswith("B") else unit + "B"
            return int(float(found[1]) * _BYTES[unit])
    raise ValueError(f"{text!r} is not a size; write it like 200MB or 4GiB")


def parse_rate(text: Any) -> int:
    """Give the bytes per second that `text` means: `20MB/s`, or `20MB`."""
    size = parse_size(re.sub(r"\s*/\s*s\s*$", "", text) if isinstance(text, str) else text)
    if not size:
        raise ValueError("nothing a second is never done; leave it out for as fast as it can")
    return size


def _schema(description: str, examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number"}], "description": description, "examples": examples}
    )


Duration = Annotated[float, BeforeValidator(parse_duration), _schema("a duration", ["5s", "1m30s", "24h"])]
"""Seconds, written `5s`, `1m30s`, `24h`, `7d` or as a bare number of seconds."""

Size = Annotated[int, BeforeValidator(parse_size), _schema("a size in bytes", ["200MB", "4GiB"])]
"""Bytes, written `200MB` (powers of ten) or `4GiB` (powers of two)."""

Rate = Annotated[int, BeforeValidator(parse_rate), _schema("bytes per second", ["20MB/s", "4MiB/s"])]
"""Bytes per second, written `20MB/s` or `20MB`."""
