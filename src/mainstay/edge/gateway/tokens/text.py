"""A token's three parts, read strictly and before any cryptography (RFC 7515, RFC 7519)."""

import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST = 8192
"""Bytes of a token; a longer one is refused unread."""
_SHAPE = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_TO_PLAIN = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"", b"==", b"=")


class Malformed(ValueError):
    """It is not what it says it is."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The first part."""

    algorithm: str
    kid: str | None


@dataclass(slots=True)
class Token:
    """A token that nobody has verified."""

    heading: Heading
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def unpack(data: bytes) -> bytes:
    """Decode base64url without padding. Raises `Malformed`."""
    if len(data) % 4 == 1:
        raise Malformed("not base64url")
    try:
        return binascii.a2b_base64(data.translate(_TO_PLAIN) + _PADDING[len(data) % 4])
    except binascii.Error as fault:
        raise Malformed("not base64url") from fault


class Reader:
    """Reads tokens. First parts are few and come again, so they are remembered."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._headings: dict[bytes, Heading] = {}

    def looks_like_one(self, raw: bytes) -> bool:
        """Whether it has the shape of a token at all."""
        return len(raw) <= LONGEST and _SHAPE.fullmatch(raw) is not None

    def read(self, raw: bytes) -> Token:
        """Take a token apart. Raises `Malformed`."""
        found = _SHAPE.fullmatch(raw) if len(raw) <= LONGEST else None
        if found is None:
            raise Malformed("not a token")
        heading = self._headings.get(found[1])
        if heading is None:
            heading = _heading(_object(unpack(found[1])))
            if len(self._headings) >= self._most:
                self._headings.clear()
            self._headings[found[1]] = heading
        return Token(heading, _object(unpack(found[2])), raw[: found.end(2)], unpack(found[3]))


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(raw.decode())
    except (ValueError, RecursionError) as fault:
        raise Malformed("not JSON") from fault
    if not isinstance(value, dict):
        raise Malformed("not an object")
    return value


def _heading(value: Mapping[str, Any]) -> Heading:
    algorithm, kid = value.get("alg"), value.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise Malformed("no algorithm")
    if (
        "crit" in value
    ):  # whoever does not understand what it names must refuse it, and we understand nothing of it
        raise Malformed("critical extensions")
    return Heading(algorithm, kid)


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Give a claim that is a date; None when it is not there. Raises `Malformed` when it is no date."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # a whole number may have thousands of digits
        found = math.nan
    if not math.isfinite(found):
        raise Malformed(f"{name} is no date")
    return found


def inside(claims: Mapping[str, Any], path: str) -> Any:
    """Give a claim; `a.b` looks inside `a` unless there is a claim of that very name."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
