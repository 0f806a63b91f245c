"""One request and its answer: what a handler sees of a connection (`exchange.Exchange`)."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from mainstay.edge.http.exchange import Head, Header, Receiver
from mainstay.edge.http.head import TEXT

if TYPE_CHECKING:
    from mainstay.edge.http.connection import Connection

WAITING: Final = 0
BEGUN: Final = 1
ENDED: Final = 2
OURS: Final = frozenset({b"connection", b"content-length", b"date", b"keep-alive", b"transfer-encoding"})
"""What an answer's framing is said with, and the date: made here, whatever a handler gives."""
CLOSE: Final = b"Connection: close\r\n\r\n"
KEEP: Final = b"Connection: keep-alive\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
JOINED: Final = 4096
"""Bytes up to which a chunk, or a body, is joined with what goes before it instead of sent in parts."""
PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def first_line(status: int) -> bytes:
    """Give the line that an answer begins with, with its end."""
    return b"HTTP/1.1 %d %b\r\n" % (status, PHRASES.get(status, b"Unknown"))


def lines_of(headers: Iterable[Header]) -> bytes:
    """Give an answer's headers as lines, without those that are ours to say. Raises `ValueError` for what would be
    another line, or none."""
    pieces: list[bytes] = []
    for name, value in headers:
        if name not in OURS:
            pieces += (name, b": ", value, b"\r\n")
    lines = b"".join(pieces)
    # What is left without the text must be the ends of the lines: no header holds another one.
    if len(lines.translate(None, TEXT)) != len(pieces) >> 1:
        raise ValueError("a header of an answer holds a control character")
    return lines


class Turn:
    """The `Exchange` of a `Connection`."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_left",
        "_on_drain",
        "_silent",
        "began",
        "certificate",
        "continued",
        "gone",
        "head",
        "keep",
        "notes",
        "peer",
        "received",
        "receiver",
        "route",
        "secure",
        "sent",
        "state",
        "status",
        "via",
        "whole",
    )

    def __init__(self, connection: "Connection", head: Head, peer: str, secure: bool, began: float) -> None:
        self._connection = connection
        self.head = head
        self.peer = peer
        self.via = connection.address
        self.secure = secure
        self.began = began
        self.certificate = connection.certificate
        self.gone = False
        self.receiver: Receiver | None = None
        self.state = WAITING
        self.status = 0
        self.route: str | None = None
        self.notes = ""
        self.whole = False
        """Whether the whole body was read."""
        self.keep = True
        """Whether the connection goes on after the answer."""
        self.continued = not head.expect
        """Whether the client knows that it may send the body."""
        self.received = 0
        self.sent = 0
        """Bytes of the bodies."""
        self._silent = False
        self._chunked = False
        self._left: int | None = None
        self._on_drain: Callable[[], None] | None = None

    def receive(self, receiver: Receiver) -> None:
        if self.receiver is not None:
            raise RuntimeError("the body is already being received")
        self.receiver = receiver
        if self.gone:
            self._connection.soon(receiver.lost)
        elif self.whole:
            self._connection.soon(self._tell_end)
        else:
            self._connection.wanted(self)

    def watch(self, receiver: Receiver) -> None:
        self.receiver = receiver
        if self.gone:
            self._connection.soon(receiver.lost)

    def pause(self) -> None:
        self._connection.hold(True)

    def resume(self) -> None:
        if not self.gone and self.state is not ENDED:
            self._connection.hold(False)

    def respond(self, status: int, headers: Iterable[Header] = (), body: bytes = b"") -> None:
        self.respond_with(status, lines_of(headers), body)

    def respond_with(self, status: int, lines: bytes, body: bytes) -> None:
        """Answer as a whole, with headers as `lines_of` gives them."""
        self._open(status)
        if self.gone:
            return
        bodyless = status in (204, 304)
        length = b"" if bodyless else b"Content-Length: %d\r\n" % len(body)
        head = self._head(status, lines, length)
        self._over()
        if bodyless or self._silent:
            body = b""
        self.sent = len(body)
        if len(body) > JOINED:
            self._connection.write(head, body)
        elif self.keep:
            self._connection.write_soon(head + body)
        else:
            self._connection.write(head + body)
        self._connection.answered(self)

    def begin(self, status: int, headers: Iterable[Header], length: int | None) -> None:
        self.begin_with(status, lines_of(headers), length)

    def begin_with(self, status: int, lines: bytes, length: int | None) -> None:
        """Begin an answer, with headers as `lines_of` gives them."""
        self._open(status)
        if self.gone:
            self.state = BEGUN
            return
        framing = b""
        if status in (204, 304):
            self._silent = True
        elif length is not None:
            framing = b"Content-Length: %d\r\n" % length
        elif self.head.version == b"1.1":
            framing = b"Transfer-Encoding: chunked\r\n"
            self._chunked = not self._silent
        else:
            self.keep = False
        if not self._silent:
            self._left = length
        head = self._head(status, lines, framing)
        self.state = BEGUN
        self._connection.write(head)

    def write(self, piece: bytes) -> bool:
        if self.state is not BEGUN:
            raise RuntimeError("no answer is under way")
        if self.gone or self._silent or not piece:
            return True
        size = len(piece)
        if self._left is not None:
            if size > self._left:
                self.abort()
                raise RuntimeError("the answer is longer than it said")
            self._left -= size
        self.sent += size
        write = self._connection.write
        if not self._chunked:
            write(piece)
        elif size <= JOINED:
            write(b"%x\r\n%b\r\n" % (size, piece))
        else:
            write(b"%x\r\n" % size)
            write(piece)
            write(b"\r\n")
        return not self._connection.slow

    def on_drain(self, action: Callable[[], None] | None) -> None:
        self._on_drain = action
        if action is not None and not self._connection.slow:
            self._connection.soon(self.drained)

    def drained(self) -> None:
        """The client takes data again."""
        action, self._on_drain = self._on_drain, None
        if action is not None and not self.gone:
            action()

    def end(self) -> None:
        if self.state is not BEGUN:
            raise RuntimeError("no answer is under way")
        if self._left:
            self.abort()  # a short answer must not look like a whole one
            return
        self._over()
        if self.gone:
            return
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        self._connection.answered(self)

    def abort(self) -> None:
        if self.state is ENDED:
            return
        self._over()
        if not self.gone:
            self._connection.cut(self)

    def continue_(self) -> None:
        if not self.continued and self.state is WAITING and not self.gone:
            self.continued = True
            self._connection.write(CONTINUE)

    def tunnel(self, head: bytes, receiver: Receiver) -> None:
        self._open(101)
        self.state = BEGUN
        self.receiver = receiver
        if self.gone:
            self._connection.soon(receiver.lost)
            return
        self.keep = False
        self._connection.write(head)
        self._connection.tunnel()

    def lose(self) -> None:
        """The client has gone, or is being sent away."""
        self.gone = True
        self._on_drain = None
        if self.receiver is not None and self.state is not ENDED:
            self.receiver.lost()

    def _tell_end(self) -> None:
        if self.receiver is not None and not self.gone and self.state is not ENDED:
            self.receiver.end()

    def _open(self, status: int) -> None:
        if self.state is not WAITING:
            raise RuntimeError("this request has its answer already")
        self.status = status
        self._silent = self.head.method == b"HEAD"
        if self.gone:
            self._over()

    def _over(self) -> None:
        # Each knows the other: left alone they would wait for the garbage collector, thousands at a time.
        self.state, self.receiver = ENDED, None

    def _head(self, status: int, lines: bytes, framing: bytes) -> bytes:
        connection = self._connection
        self.keep = self.keep and connection.may_keep(self)
        end = (b"\r\n" if self.head.version == b"1.1" else KEEP) if self.keep else CLOSE
        return b"".join((connection.server.lead(status), lines, framing, end))
