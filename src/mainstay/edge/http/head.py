"""The gate: reads a request's head and refuses whatever two servers could read differently.

httptools (llhttp, never lenient) reads it; what it lets pass and this house does not is refused on the raw bytes before
and on the headers after. `tests/edge/fuzz.py` compares the verdict with h11 and with the grammar itself.
"""

import re
from typing import Final

import httptools

from mainstay.edge.http.exchange import Block, Head, Header
from mainstay.edge.http.limits import HeadLimits
from mainstay.edge.http.memory import LONGEST, Memory

LINE: Final = re.compile(rb"([A-Z][A-Z-]*) ((/[!$-;=@-\[\]-~]*+)(?:\?([!$-;=?-~]*+))?) HTTP/(1\.[01])\r\n")
"""Targets in origin form, of what RFC 3986 allows or browsers send: no `#`, `"`, `<`, `>`, and no `\\` in the path."""
HOST = re.compile(rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*)|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
VERSION: Final = re.compile(rb" HTTP/([0-9]\.[0-9])\Z")
BLANK = (b" ", b"\t")
ROOM: Final = 32
"""Bytes of a request line besides its target."""
TEXT = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""What may stand in a line; what is left of a head without it must be the ends of its lines, and nothing else."""
METHODS = frozenset(
    b"GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH REPORT "
    b"MKCALENDAR ACL BIND REBIND UNBIND CHECKOUT MERGE MKACTIVITY LINK UNLINK PURGE QUERY".split()
)
MEANINGFUL = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"connection", b"expect", b"upgrade"}
)
DEPENDENT = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""Headers whose meaning depends on more than the header lines."""
LONGEST_LENGTH: Final = 15
"""Digits of a Content-Length; a petabyte is not a request."""
HOSTS_KNOWN: Final = 1024


class Refused(Exception):
    """A request that is not answered by a handler: the status to say, and why in a few words."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class _Sink:
    """Takes httptools' callbacks. One is enough: a head is read in one go."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: list[Header] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp takes the white space before a value away, but not what follows it.
        self.headers.append((name.lower(), value.rstrip(b" \t") if value[-1:] in BLANK else value))


_sink = _Sink()
_known_hosts: set[bytes] = set()


class Blocks:
    """Header lines that came more than once, ready to be used again. What is in them follows from their bytes alone."""

    __slots__ = ("hits", "limits", "memory")

    def __init__(self) -> None:
        self.memory: Memory[Block] = Memory()
        self.limits: HeadLimits | None = None
        self.hits = 0
        """Heads whose lines were not read again."""

    def find(self, lines: bytes, limits: HeadLimits) -> Block | None:
        """Give what was read from these very lines before."""
        if limits is not self.limits:
            self.memory.clear()
            self.limits = limits
        return self.memory.get(lines)

    def met(self, lines: bytes, head: Head) -> None:
        """Take note of lines that are not known yet and were read in this head, of HTTP/1.1."""
        block, length = head.block, head.length
        # What these say depends on the request line as well.
        if length is None or not DEPENDENT.isdisjoint(block.fields):
            return
        block.host, block.length, block.keep_alive = head.host, length, head.keep_alive
        self.memory.met(lines, block, 1024 + 4 * len(lines) + 256 * len(block.headers))


_methods_read: set[bytes] = set()
"""Methods that httptools has nothing against. Of the rest of a line `LINE` lets nothing pass that it would not."""


def read_head(raw: bytes, limits: HeadLimits, blocks: Blocks | None = None) -> Head:
    """Give what a whole head says; `raw` ends with its empty line. Raises `Refused`.

    With `blocks`, lines that are remembered are not read again; the verdict is the same.
    """
    line = LINE.match(raw)
    if line is None:
        raw = raw.removeprefix(b"\r\n")  # RFC 9112 2.2: one empty line before a request is passed over
        line = LINE.match(raw)
        if line is None:
            raise _why_not(raw, limits)
    method, target, path, query, version = line.groups()
    if len(target) > limits.uri:
        raise Refused(414, "the target is too long")
    if method not in METHODS:
        raise Refused(501, "this method is not known here")
    if blocks is None or version != b"1.1" or len(raw) - line.end() > LONGEST:
        return _read(raw, method, target, path, query or b"", version, limits)
    lines = raw[line.end() :]
    block = blocks.find(lines, limits)
    if block is None or method not in _methods_read:
        head = _read(raw, method, target, path, query or b"", version, limits)
        _methods_read.add(method)  # httptools has no objection to it
        if block is None:
            blocks.met(lines, head)
        return head
    blocks.hits += 1
    head = Head(method, target, path, query or b"", version, block.host, block.headers, block.length, block)
    head.keep_alive = block.keep_alive
    return head


def _read(
    raw: bytes, method: bytes, target: bytes, path: bytes, query: bytes, version: bytes, limits: HeadLimits
) -> Head:
    head = Head(method, target, path, query, version, b"", _headers(raw, limits))
    _interpret(head, limits)
    return head


def _headers(raw: bytes, limits: HeadLimits) -> list[Header]:
    found: list[Header] = []
    _sink.headers = found
    try:
        httptools.HttpRequestParser(_sink).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # only said; whether it is done is the handler's affair
    except httptools.HttpParserError as fault:
        raise Refused(400, str(fault)) from None
    if len(found) > limits.headers:
        raise Refused(431, "there are too many headers")
    # A line more than there are headers, or any other control character, is something that llhttp read its own way.
    if raw.translate(None, TEXT) != b"\r\n" * (len(found) + 2):
        raise Refused(400, "there are control characters in the head")
    return found


def _interpret(head: Head, limits: HeadLimits) -> None:
    seen: dict[bytes, bytes] = {}
    for name, value in head.headers:
        if name in MEANINGFUL:
            if name not in seen:
                seen[name] = value
            elif name == b"connection":
                seen[name] += b"," + value
            else:
                raise Refused(400, f"{name.decode()} is repeated")
    host = seen.get(b"host")
    if host is not None:
        if host not in _known_hosts:
            _judge_host(host)
        head.host = host
    elif head.version == b"1.1":
        raise Refused(400, "host is missing")
    if len(seen) > 1 or host is None:
        _framing(head, seen, limits)
        _wishes(head, seen)
    elif head.version == b"1.0":
        head.keep_alive = False


def _judge_host(host: bytes) -> None:
    if len(host) > 255 or not HOST.fullmatch(host):
        raise Refused(400, "host is not valid")
    if len(_known_hosts) < HOSTS_KNOWN:
        _known_hosts.add(host)


def _framing(head: Head, seen: dict[bytes, bytes], limits: HeadLimits) -> None:
    coding, length = seen.get(b"transfer-encoding"), seen.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise Refused(400, "content-length and transfer-encoding contradict each other")
        if head.version == b"1.0" or coding.lower() != b"chunked":
            raise Refused(400, "this transfer-encoding is not understood")
        head.length = None
    elif length is not None:
        if not length.isdigit() or len(length) > LONGEST_LENGTH:
            raise Refused(400, "content-length is not a number")
        head.length = int(length)
        if head.length > limits.body:
            raise Refused(413, "the body is too long")


def _wishes(head: Head, seen: dict[bytes, bytes]) -> None:
    connection = seen.get(b"connection")
    tokens = [token.strip(b" \t") for token in connection.lower().split(b",")] if connection else ()
    if head.version == b"1.0":
        head.keep_alive = b"keep-alive" in tokens and b"close" not in tokens
        return
    head.keep_alive = b"close" not in tokens
    if (expected := seen.get(b"expect")) is not None:
        if expected.lower() != b"100-continue":
            raise Refused(417, "this expectation is not understood")
        head.expect = head.length != 0
    if b"upgrade" in tokens and seen.get(b"upgrade", b"").lower() == b"websocket" and head.method == b"GET":
        if head.length != 0:
            raise Refused(400, "an upgrade has no body")
        head.upgrade = b"websocket"


def unfinished(raw: bytes, limits: HeadLimits) -> Refused | None:
    """Say whether the beginning of a head is already too much."""
    end = raw.find(b"\n", 2, limits.uri + ROOM)
    if end < 0 and len(raw) > limits.uri + ROOM:
        return Refused(414, "the target is too long")
    if end > 0 and raw[end - 1] != 13:
        return Refused(400, "this is not a request line")
    return Refused(431, "the head is too long") if len(raw) > limits.head else None


def _why_not(raw: bytes, limits: HeadLimits) -> Refused:
    line = raw.partition(b"\n")[0]
    version = VERSION.search(line.rstrip(b"\r"))
    if version and version[1] not in (b"1.0", b"1.1"):
        return Refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if len(line) > limits.uri + ROOM:
        return Refused(414, "the target is too long")
    return Refused(400, "this is not a request line")
