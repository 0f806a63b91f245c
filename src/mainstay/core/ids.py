"""Identifiers that sort by the time they were made."""

import os
import struct
import threading

_lock = threading.Lock()
_last = 0
_random: list[int] = []
"""Numbers of 64 bits, fetched for many identifiers at a time; a child process must not have the same ones."""
os.register_at_fork(after_in_child=_random.clear)
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _LETTERS for low in _LETTERS]
_UNITS = 1000 << 16
"""Of a second."""
_LOW = (1 << 60) - 1
_SHIFTS = tuple(range(120, -1, -10))


def new_id(now: float) -> str:
    """Give a 26-letter identifier that sorts by time and never repeats.

    `now` is in seconds since 1970. Identifiers made in one process increase strictly, even when the clock steps back;
    those of several processes of a machine sort by microseconds (48 bits of milliseconds, 16 of their fraction, then
    chance, in base 32).
    """
    global _last
    stamp = int(now * _UNITS) & ((1 << 64) - 1)
    with _lock:
        _last = stamp = max(stamp, _last + 1)
        if not _random:
            _random.extend(struct.unpack("256Q", os.urandom(2048)))
        chance = _random.pop()
    low, high = chance & _LOW, chance >> 60
    # Ten bits at a time of numbers that fit into a word: of one large number this takes three times as long.
    return "".join(
        [
            _PAIRS[stamp >> 56 & 1023],
            _PAIRS[stamp >> 46 & 1023],
            _PAIRS[stamp >> 36 & 1023],
            _PAIRS[stamp >> 26 & 1023],
            _PAIRS[stamp >> 16 & 1023],
            _PAIRS[stamp >> 6 & 1023],
            _PAIRS[(stamp & 63) << 4 | high],
            _PAIRS[low >> 50],
            _PAIRS[low >> 40 & 1023],
            _PAIRS[low >> 30 & 1023],
            _PAIRS[low >> 20 & 1023],
            _PAIRS[low >> 10 & 1023],
            _PAIRS[low & 1023],
        ]
    )


def first_id(at: float) -> str:
    """Give what sorts before every identifier made at `at` (seconds since 1970) or later, and after all others."""
    return _base32(max(0, int(at * _UNITS)) << 64)


def _base32(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])
