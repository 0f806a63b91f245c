"""One request and its answer, between the connection that carries them and whoever answers.

Callbacks instead of coroutines: a task per request costs more than the whole of a small answer. Everything happens on
the event loop's thread.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

Header = tuple[bytes, bytes]
"""Name in lower case, and value without the white space around it."""


class Block:
    """The lines of a head behind its first one, and what follows from their bytes alone.

    It may serve many requests, at once and one after the other (`memory`), so nobody changes it; what is kept here
    besides, so that it is worked out once, must follow from these lines too.
    """

    __slots__ = ("agent", "fields", "headers", "host", "keep_alive", "length", "onward", "onward_without")

    def __init__(self, headers: list[Header], host: bytes = b"", length: int = 0) -> None:
        self.headers = headers
        """As they came, repeated ones in their order."""
        self.fields = dict(headers)
        """The headers by name, the last one of each."""
        self.host = host
        self.length = length
        self.keep_alive = True
        self.agent: str | None = None
        """What the access log says of `User-Agent`, once somebody has worked it out."""
        self.onward: bytes | None = None
        self.onward_without: frozenset[bytes] | None = None
        """The lines that an origin may see, once somebody has worked them out, and what was left out of them."""


class Head:
    """A request's head that was judged well-formed (RFC 9112, and the stricter rules of this house)."""

    __slots__ = (
        "block", "expect", "headers", "host", "keep_alive", "length", "method", "path", "query", "target", "upgrade",
        "version",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        target: bytes,
        path: bytes,
        query: bytes,
        version: bytes,
        host: bytes,
        headers: list[Header],
        length: int | None = 0,
        block: Block | None = None,
    ) -> None:
        self.block = Block(headers) if block is None else block
        self.method = method
        """In upper case."""
        self.target = target
        """Path and query exactly as they were sent; it begins with a slash."""
        self.path = path
        self.query = query
        """What stands behind the first `?`, without it."""
        self.version = version
        """`1.1` or `1.0`."""
        self.host = host
        """The one valid Host; empty only in HTTP/1.0 without one."""
        self.headers = headers
        """As they came, repeated ones in their order."""
        self.length = length
        """Bytes of the body; None when it comes in chunks."""
        self.keep_alive = True
        self.expect = False
        """The client waits for `100 Continue`; it is sent when the body is first asked for."""
        self.upgrade: bytes | None = None
        """`websocket` when the client asks to change the protocol, else None."""

    def get(self, name: bytes) -> bytes | None:
        """Give the first value of a header; `name` is in lower case."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def all(self, name: bytes) -> list[bytes]:
        """Give every value of a header, in order."""
        return [value for key, value in self.headers if key == name]


class Receiver(Protocol):
    """Takes a request's body. After `end` only `lost` may follow; after `lost` or the whole answer, nothing."""

    def data(self, piece: bytes) -> None:
        """Take a piece, without its framing."""
        ...

    def end(self) -> None:
        """The body is whole."""
        ...

    def lost(self) -> None:
        """The client has gone, or was cut off for breaking a rule, before the answer was whole."""
        ...


class Exchange(Protocol):
    """What a handler may do with one request. Answering twice is an error of ours and raises `RuntimeError`."""

    head: Head
    peer: str
    """The client's address: that of the connection, or what a trusted proxy says of it."""
    via: str
    """The address of the connection itself: the nearest proxy's, or the client's when there is none."""
    secure: bool
    """Whether the client came by TLS, to us or to a trusted proxy."""
    certificate: bytes | None
    """The client's certificate in DER when it showed one that was verified."""
    gone: bool
    """Whether the client has gone; what is written then is dropped."""
    keep: bool
    """Set it false, before the answer, to have the connection closed after it."""
    route: str | None
    """What the route is called that it took, for metrics; None when nobody asks for one."""
    notes: str
    """What the access log should say besides, as `,"name":"value"` for each thing; nothing secret."""

    def receive(self, receiver: Receiver) -> None:
        """Have the body delivered; may be called once, at once or later. Without it a body is read and dropped."""
        ...

    def watch(self, receiver: Receiver) -> None:
        """Have only `lost` called: for a request that has no body, whose end nobody needs to be told of."""
        ...

    def pause(self) -> None:
        """Take no more of the body for now: back-pressure down to the client's own connection."""
        ...

    def resume(self) -> None:
        """Go on taking the body."""
        ...

    def respond(self, status: int, headers: Iterable[Header] = (), body: bytes = b"") -> None:
        """Answer as a whole. Date, Content-Length and Connection are added; a HEAD gets no body."""
        ...

    def begin(self, status: int, headers: Iterable[Header], length: int | None) -> None:
        """Begin an answer whose body follows; of unknown length (None) it goes in chunks, or until the end on 1.0."""
        ...

    def write(self, piece: bytes) -> bool:
        """Send a piece of the body; false when the client is slow and `on_drain` should be awaited."""
        ...

    def on_drain(self, action: Callable[[], None] | None) -> None:
        """Have `action` called when the client takes data again after `write` gave false."""
        ...

    def end(self) -> None:
        """The answer is whole. The next request of the connection is taken up."""
        ...

    def abort(self) -> None:
        """Cut the connection, so that a half answer is never taken for a whole one."""
        ...

    def continue_(self) -> None:
        """Send `100 Continue`, or another handler's interim answer, if the client waits for it."""
        ...

    def tunnel(self, head: bytes, receiver: Receiver) -> None:
        """Send `head` (a whole 101 head) and hand the raw connection over: from here on `receiver` gets what the client
        sends, and `write` sends raw bytes, until `end` or `abort`."""
        ...


class Handler(Protocol):
    """Answers requests."""

    def accept(self, exchange: Exchange) -> None:
        """Take a request whose head was read. Answer at once, or later from a callback. Must not raise or block."""
        ...
