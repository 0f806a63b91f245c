"""The tools of schemes: signatures are made, compared in constant time, and times are judged."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Refused

Algorithm = Literal["sha256", "sha512", "sha384", "sha1"]
Encoding = Literal["hex", "HEX", "base64", "base64url"]

MOST_SIGNATURES = 16
"""So many are looked at in one header; rotation needs two, and each may cost a comparison with every secret."""
COMMA, COMMA_OR_SPACE = r"[ \t]*,[ \t]*", r"[, \t]+"
NO_MATCH = Refused("the signature does not match")


_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def digest(key: bytes, content: bytes, algorithm: str = "sha256") -> bytes:
    """Give the HMAC (RFC 2104).

    `hmac.digest` lets the other threads run meanwhile, and then waits for them: here that takes longer than the HMAC.
    """
    prepared = keyed(key, algorithm)
    inner, outer = prepared[0].copy(), prepared[1].copy()
    inner.update(content)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(256)
def keyed(key: bytes, algorithm: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Give the two hashes that have taken in the key, and only have to be copied."""
    block = hashlib.new(algorithm).block_size
    if len(key) > block:
        key = hashlib.new(algorithm, key).digest()
    key = key.ljust(block, b"\0")
    return hashlib.new(algorithm, key.translate(_INNER)), hashlib.new(algorithm, key.translate(_OUTER))


def spell(raw: bytes, encoding: Encoding) -> bytes:
    """Write a digest the way a header holds it."""
    if encoding == "base64":
        return base64.b64encode(raw)
    if encoding == "base64url":
        return base64.urlsafe_b64encode(raw)
    text = raw.hex()
    return (text.upper() if encoding == "HEX" else text).encode()


def matching(
    secrets: Sequence[Secret], given: Sequence[bytes], expected: Callable[[Secret], Iterable[bytes]]
) -> Secret | None:
    """Give the secret one of whose expected texts is among those given.

    Texts are compared, not what they decode to: each signature has one spelling, so that none can be changed and stay
    valid. Every text is compared with every secret's, whatever was found before.
    """
    found = None
    for secret in secrets:
        for right in expected(secret):
            for one in given:
                found = secret if hmac.compare_digest(right, one) else found
    return found


def raw(text: str) -> bytes:
    """Give the bytes of a header's value."""
    return text.encode("latin-1", "replace")


def listed(text: str, separators: str = COMMA_OR_SPACE) -> list[str]:
    """Split a header's value into signatures; nothing when there are too many."""
    if "," not in text and " " not in text and "\t" not in text:  # as nearly always
        return [text] if text else []
    found = [one for one in re.split(separators, text) if one]
    return found if len(found) <= MOST_SIGNATURES else []


def fields(text: str, separator: str = ",") -> dict[str, list[str]]:
    """Read `t=1,v1=a,v1=b`; a repeated name has several values. Nothing when there are too many."""
    found: dict[str, list[str]] = {}
    parts = text.split(separator)
    for part in parts if len(parts) <= MOST_SIGNATURES else []:
        name, equals, value = part.strip(" \t").partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


def seconds(text: str | None, per_second: int = 1) -> float | None:
    """Read a time as seconds since 1970, of whole seconds or smaller units: ASCII digits and nothing else."""
    return int(text) / per_second if text and re.fullmatch(r"[0-9]{1,15}", text) else None


def strict_base64(text: str) -> bytes | None:
    """Decode base64 that has exactly the one right spelling; None for any other."""
    try:
        found = base64.b64decode(raw(text), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if base64.b64encode(found) == raw(text) else None


def parameter(query: str, name: str) -> str | None:
    """Give the one value of an address' parameter; None when there is none, or more than one."""
    try:
        found = parse_qsl(query, keep_blank_values=True, max_num_fields=100, encoding="latin-1")
    except ValueError:
        return None
    values = [value for key, value in found if key == name]
    return values[0] if len(values) == 1 else None
