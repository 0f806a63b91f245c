"""How an event lies in the log: a frame with a checksum, numbers, the lengths of its texts, the texts, the body.

A reader stops at the first record that is not whole: it is being written just now, or was when the power failed.
"""

import math
import struct
from typing import Final
from zlib import crc32

from mainstay.edge.inbox.headers import kept, lines_of
from mainstay.store.inbox import Arrival

MARK: Final = b"mhk2"
FORMER: Final = b"mhk1"
"""The mark of an earlier version, which wrote headers as JSON and the sender's program besides."""
FRAME = struct.Struct("<4sII")
"""The mark, the bytes that follow the frame, and their CRC-32."""
FIXED = struct.Struct("<ddd12i")
"""Times of arrival and of signing (NaN: unknown), the window, and the lengths of twelve texts (-1: there is none)."""
FORMER_FIXED = struct.Struct("<ddd13i")
LEAST = FRAME.size + FIXED.size
LARGEST = 64 * 2**20
"""More bytes than a record ever has; a length above it is none."""


def encode(one: Arrival) -> bytes:
    """Write an event as a record."""
    texts = [
        one.id.encode(),
        one.source.encode(),
        one.lines,
        one.digest.encode(),
        one.peer.encode(),
        one.query.encode(),
        one.state.encode(),
        _bytes(one.secret),
        _bytes(one.event_id),
        _bytes(one.event_type),
        _bytes(one.order_key),
        _bytes(one.key),
    ]
    lengths = [-1 if text is None else len(text) for text in texts]
    sent = math.nan if one.sent_at is None else one.sent_at
    there = [text for text in texts if text is not None]
    payload = b"".join([FIXED.pack(one.received_at, sent, one.window, *lengths), *there, one.body])
    return FRAME.pack(MARK, len(payload), crc32(payload)) + payload


def _bytes(text: str | None) -> bytes | None:
    # What a sender wrote into JSON may be no Unicode at all.
    return None if text is None else text.encode("utf-8", "replace")


def whole(data: bytes, at: int) -> int:
    """Give where the record at `at` ends; 0 when there is none that is whole."""
    if at + FRAME.size > len(data):
        return 0
    mark, length, checksum = FRAME.unpack_from(data, at)
    start: int = at + FRAME.size
    end: int = start + length
    if (mark != MARK and mark != FORMER) or length > LARGEST or length < FIXED.size or end > len(data):
        return 0
    return end if crc32(memoryview(data)[start:end]) == checksum else 0


def wants(data: bytes) -> int:
    """Give how many bytes the record at the beginning of `data` has, as its frame says; 0 when that is no frame."""
    if len(data) < FRAME.size:
        return 0
    mark, length, _ = FRAME.unpack_from(data, 0)
    return FRAME.size + int(length) if mark in (MARK, FORMER) and length <= LARGEST else 0


def _fixed(data: bytes, at: int) -> struct.Struct:
    return FORMER_FIXED if data.startswith(FORMER, at) else FIXED


def called(data: bytes) -> str:
    """Give the id that the record at the beginning of `data` says it has, whole or not; empty for none."""
    if len(data) < LEAST or not wants(data):
        return ""
    length: int = FIXED.unpack_from(data, FRAME.size)[3]
    here = FRAME.size + _fixed(data, 0).size
    return data[here : here + max(0, length)].decode("ascii", "replace")


def decode(data: bytes, at: int, end: int) -> Arrival:
    """Read the record that is `whole` from `at` to `end`."""
    fixed = _fixed(data, at)
    received, sent, window, *lengths = fixed.unpack_from(data, at + FRAME.size)
    here: int = at + FRAME.size + fixed.size
    texts: list[bytes | None] = []
    for length in lengths:
        if length < 0:
            texts.append(None)
        else:
            texts.append(data[here : here + length])
            here += length
    if fixed is FORMER_FIXED:
        del texts[7]  # the program stands in the headers
        texts[2] = lines_of(_text(texts[2]) or "[]")
    identifier, source, lines, digest, peer, query, state, secret, event, kind, order, key = texts
    headers, program = kept(lines or b"")
    return Arrival(
        _text(identifier) or "",
        _text(source) or "",
        received,
        headers,
        data[here:end],
        _text(digest) or "",
        _text(peer) or "",
        _text(query) or "",
        program,
        _text(secret),
        None if math.isnan(sent) else sent,
        _text(event),
        _text(kind),
        _text(order),
        _text(key),
        window,
        _text(state) or "",
        lines or b"",
    )


def _text(text: bytes | None) -> str | None:
    return None if text is None else text.decode()
