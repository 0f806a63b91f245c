"""The body of a request that comes in chunks (RFC 9112 7.1): strict where readers differ, and bounded in every part."""

import re

from mainstay.edge.http.head import Refused

SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(;[\t -~]*)?")
FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
LONGEST_LINE = 256
MOST_BESIDES = 8 * 1024
"""Bytes of extensions and trailers that a body may have besides itself; they are read and dropped."""


class Chunks:
    """Takes the framing away. One per body."""

    __slots__ = ("_besides", "_left", "_line", "_most", "_step", "total")

    def __init__(self, most: int) -> None:
        self.total = 0
        """Bytes of body so far."""
        self._most = most
        self._left = 0
        self._line = b""
        self._besides = 0
        self._step = self._size

    def feed(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        """Give the pieces of body in it and, once the body has ended, what stands after it (else None).

        Raises `Refused`: 400 for what is no chunk, 413 when the body gets longer than `most`.
        """
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif self._left:
                at = self._closing(data, at)
            else:
                at, ended = self._read_line(data, at)
                if ended:
                    return pieces, data[at:]
        return pieces, None

    def _closing(self, data: bytes, at: int) -> int:
        """Pass over the line end behind a chunk; it is counted as its last two bytes."""
        if data[at] != (13 if self._left == 2 else 10):
            raise Refused(400, "a chunk is longer than it says")
        self._left -= 1
        return at + 1

    def _read_line(self, data: bytes, at: int) -> tuple[int, bool]:
        end = data.find(b"\n", at)
        self._line += data[at:] if end < 0 else data[at : end + 1]
        if len(self._line) > LONGEST_LINE:
            raise Refused(400, "a line between the chunks is too long")
        if end < 0:
            return len(data), False
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise Refused(400, "a line between the chunks does not end as it must")
        return end + 1, self._step(line[:-2])

    def _size(self, line: bytes) -> bool:
        found = SIZE.fullmatch(line)
        if found is None:
            raise Refused(400, "this is not the size of a chunk")
        self._spend(len(found[2] or b""))
        size = int(found[1], 16)
        if size == 0:
            self._step = self._trailer
            return False
        self.total += size
        if self.total > self._most:
            raise Refused(413, "the body is too long")
        self._left = size + 2
        return False

    def _trailer(self, line: bytes) -> bool:
        if not line:
            return True
        if not FIELD.fullmatch(line):
            raise Refused(400, "this is not a trailer")
        self._spend(len(line))
        return False

    def _spend(self, count: int) -> None:
        self._besides += count
        if self._besides > MOST_BESIDES:
            raise Refused(400, "there is more beside the body than there may be")
