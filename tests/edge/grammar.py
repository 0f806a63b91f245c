"""What a request's head may be, written a second time and in another way: one expression, and the rules of the house.

It shares nothing with the product. Where the two differ, one of them is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
FIELD = re.compile(rb"(" + TOKEN + rb"+):([\x09\x20-\x7e\x80-\xff]*)\r\n")
WHOLE = re.compile(
    rb"(?:\r\n)?"
    rb"([A-Z-]+) (/[^\x00-\x20\x7f-\xff\"#<>\\?]*(?:\?[^\x00-\x20\x7f-\xff\"#<>]*)?) HTTP/(1\.[01])\r\n"
    rb"((?:" + TOKEN + rb"+:[\x09\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
KNOWN = set(
    b"GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH REPORT MKCALENDAR "
    b"ACL BIND REBIND UNBIND CHECKOUT MERGE MKACTIVITY LINK UNLINK PURGE QUERY".split()
)
HOST = re.compile(rb"([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
ONCE = (b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade")


@dataclass(frozen=True)
class Meaning:
    """What a head says."""

    method: bytes
    target: bytes
    version: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    length: int | None
    keep: bool


def meaning(raw: bytes, *, head: int, headers: int, uri: int, body: int) -> Meaning | None:
    """What a whole head says, or None if it is none."""
    found = WHOLE.fullmatch(raw)
    if found is None or len(raw) > head or len(found[2]) > uri or found[1] not in KNOWN:
        return None
    fields = tuple((one[1].lower(), one[2].strip(b" \t")) for one in FIELD.finditer(found[4]))
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        by_name.setdefault(name, []).append(value)
    if len(fields) > headers or any(len(by_name.get(name, ())) > 1 for name in ONCE):
        return None
    one = {name: values[0] for name, values in by_name.items()}
    old = found[3] == b"1.0"
    if not _host_is_right(one.get(b"host"), old):
        return None
    length = _length(one, old)
    if length == -1 or (length or 0) > body:
        return None
    if not old and one.get(b"expect", b"100-continue").lower() != b"100-continue":
        return None
    tokens = [
        each.strip(b" \t").lower() for value in by_name.get(b"connection", []) for each in value.split(b",")
    ]
    websocket = (
        b"upgrade" in tokens and one.get(b"upgrade", b"").lower() == b"websocket" and found[1] == b"GET"
    )
    if websocket and not old and length != 0:
        return None
    keep = b"close" not in tokens and (not old or b"keep-alive" in tokens)
    return Meaning(found[1], found[2], found[3], fields, length, keep)


def _host_is_right(host: bytes | None, old: bool) -> bool:
    if host is None:
        return old
    return len(host) <= 255 and HOST.fullmatch(host) is not None


def _length(one: dict[bytes, bytes], old: bool) -> int | None:
    """The length of the body, None for chunks, -1 when that cannot be said."""
    coding, length = one.get(b"transfer-encoding"), one.get(b"content-length")
    if coding is not None:
        return None if length is None and not old and coding.lower() == b"chunked" else -1
    if length is None:
        return 0
    return int(length) if re.fullmatch(rb"[0-9]{1,15}", length) else -1
