"""Makes a screenshot small: a picture of an interface has few colours, so 256 of them are enough."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Colour = tuple[int, int, int]


def shrink(path: Path) -> int:
    """Write an 8-bit RGB or RGBA picture anew with a palette; give its size in bytes."""
    width, height, channels, lines = read(path.read_bytes())
    pixels = [
        [(line[at], line[at + 1], line[at + 2]) for at in range(0, width * channels, channels)]
        for line in lines
    ]
    counts: Counter[Colour] = Counter()
    for row in pixels:
        counts.update(row)
    palette = [colour for colour, _ in counts.most_common(256)]
    index = {colour: nearest(colour, palette) for colour in counts}
    body = b"".join(b"\0" + bytes(index[colour] for colour in row) for row in pixels)
    flat = bytes(part for colour in palette for part in colour)
    made = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
    made += chunk(b"PLTE", flat) + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")
    path.write_bytes(made)
    return len(made)


def nearest(colour: Colour, palette: list[Colour]) -> int:
    """The place of the colour that looks most alike."""
    return min(
        range(len(palette)),
        key=lambda at: sum((a - b) ** 2 for a, b in zip(colour, palette[at], strict=True)),
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    """One part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read(data: bytes) -> tuple[int, int, int, list[bytearray]]:
    """Give width, height, channels and the lines without their filters. Raises `ValueError` for other kinds."""
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if not data.startswith(SIGNATURE) or depth != 8 or kind not in (2, 6) or interlaced:
        raise ValueError("only plain 8-bit RGB and RGBA pictures")
    channels, at, packed = (3 if kind == 2 else 4), 8, b""
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    raw, stride = zlib.decompress(packed), width * channels
    lines: list[bytearray] = []
    above = bytearray(stride)
    for row in range(height):
        start = row * (stride + 1)
        above = unfilter(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, channels)
        lines.append(above)
    return width, height, channels, lines


def unfilter(kind: int, line: bytearray, above: bytearray, step: int) -> bytearray:
    """Undo a line's filter (PNG specification, section 9)."""
    for at in range(len(line)):
        left = line[at - step] if at >= step else 0
        corner = above[at - step] if at >= step else 0
        if kind == 1:
            line[at] = (line[at] + left) & 255
        elif kind == 2:
            line[at] = (line[at] + above[at]) & 255
        elif kind == 3:
            line[at] = (line[at] + (left + above[at]) // 2) & 255
        elif kind == 4:
            line[at] = (line[at] + paeth(left, above[at], corner)) & 255
    return line


def paeth(left: int, above: int, corner: int) -> int:
    """The neighbour that is nearest to left + above - corner."""
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))
