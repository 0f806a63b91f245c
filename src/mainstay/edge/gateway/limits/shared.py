"""Limits that the processes of one host share: a file in memory, and a lock that dies with its holder."""

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mainstay.edge.gateway.limits.gcra import Taken, Want, judge

_SLOT = struct.Struct("<16sQ")
_TAT = struct.Struct("<Q")
_WAYS = 8
_SET = _SLOT.size * _WAYS
_NAMES = 65536
_HEAD = 64
_CROWD = b"\xff" * 16


class SharedLimiter:
    """Buckets in a mapped file: sets of seven slots, and an eighth that those share who find no free one.

    A slot is free when it is as good as new. Nobody is crowded out, so nobody gets a fresh bucket by being so; who
    moves from the shared slot to one of their own brings its debt along. The file belongs to one boot of one host:
    whoever opens it while nobody else has it begins anew, since the monotonic clock may have.
    """

    def __init__(self, file: Path, most: int = 100_000) -> None:
        self._sets = max(1, -(-most // (_WAYS - 1)))
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._open(_HEAD + self._sets * _SET)
        except BaseException:
            os.close(self._file)
            raise
        self._map = mmap.mmap(self._file, _HEAD + self._sets * _SET)
        self._salt = self._map[:16]
        self._places: dict[str, tuple[int, bytes]] = {}

    def _open(self, size: int) -> None:
        """Begin anew when nobody else has it open; from then on hold it in common."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._file, fcntl.LOCK_SH)
        else:
            os.ftruncate(self._file, 0)
            # Room on the disk must be had now: a write into a hole of a full one would end the process.
            os.posix_fallocate(self._file, 0, size)
            os.pwrite(self._file, os.urandom(16), 0)
            fcntl.flock(self._file, fcntl.LOCK_SH)
        if os.fstat(self._file).st_size != size:
            raise ValueError("the limits' file is in use with another size")

    def take(self, wants: Sequence[Want], now: int) -> Taken:
        """Count a request in all of the buckets, or in none when one of them is full."""
        places = [self._place(key) for key, _ in wants]
        with self._locked():
            slots: list[tuple[int, bytes, int]] = []
            for place, name in places:
                slots.append(self._slot(place, name, now, slots))
            taken = judge(
                [self._tat(slot, want, now) for slot, want in zip(slots, wants, strict=True)], wants, now
            )
            if taken.refused < 0:
                for (slot, name, _), debt, want in zip(slots, taken.debts, wants, strict=True):
                    tat = now + debt
                    if name is _CROWD:  # two of the wants may share it
                        tat = max(now, _TAT.unpack_from(self._map, slot + 16)[0]) + want[1].interval
                    _SLOT.pack_into(self._map, slot, name, tat)
        return taken

    def look(self, want: Want, now: int) -> Taken:
        """Say how a request would fare, without counting it."""
        place, name = self._place(want[0])
        with self._locked():
            return judge([self._tat(self._slot(place, name, now, ()), want, now)], (want,), now)

    def give(self, want: Want) -> None:
        """Take back what one request was counted for."""
        place, name = self._place(want[0])
        with self._locked():
            for slot in range(place, place + _SET - _SLOT.size, _SLOT.size):
                held, tat = _SLOT.unpack_from(self._map, slot)
                if held == name:
                    _SLOT.pack_into(self._map, slot, name, max(0, tat - want[1].interval))

    def close(self) -> None:
        """Unmap the file; the others go on with it."""
        self._map.close()
        os.close(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _place(self, key: str) -> tuple[int, bytes]:
        """Give where a bucket's set begins, and its name there. The salt keeps people from choosing names that meet."""
        found = self._places.get(key)
        if found is None:
            digest = hashlib.blake2b(key.encode(), digest_size=24, key=self._salt).digest()
            found = _HEAD + int.from_bytes(digest[16:], "little") % self._sets * _SET, digest[:16]
            if len(self._places) >= _NAMES:
                self._places.clear()
            self._places[key] = found
        return found

    def _slot(
        self, place: int, name: bytes, now: int, others: Sequence[tuple[int, bytes, int]]
    ) -> tuple[int, bytes, int]:
        """Give the slot of a bucket, the name to write there, and its TAT. A free one may not be that of `others`."""
        free = -1
        last = place + _SET - _SLOT.size
        crowd = _TAT.unpack_from(self._map, last + 16)[0]
        for slot in range(place, last, _SLOT.size):
            held, tat = _SLOT.unpack_from(self._map, slot)
            if held == name:
                return slot, name, tat
            if free < 0 and tat <= now and all(slot != other for other, _, _ in others):
                free = slot
        return (free, name, crowd) if free >= 0 else (last, _CROWD, crowd)

    @staticmethod
    def _tat(slot: tuple[int, bytes, int], want: Want, now: int) -> int:
        """What cannot be (a file from elsewhere, a write cut short) counts as a full bucket, not as one for ever."""
        return min(slot[2], now + want[1].full) if slot[1] is not _CROWD else slot[2]
