"""One HTTP/1.1 exchange on a connection of its own, with every phase timed.

A general client keeps connections, cookies and redirects to itself, and those are just what a probe has to see.
"""

import asyncio
import functools
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

from mainstay.checks.dial import Trail, dial
from mainstay.core.check import Place

LONGEST_HEAD = 64 * 1024


class BadAnswer(Exception):
    """The server sent something that is not a whole HTTP answer."""


@dataclass(slots=True)
class Response:
    """What came back. `body` is at most the asked-for number of bytes; `cut` says that there was more."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    cut: bool = False

    def header(self, name: str) -> str | None:
        """Give a header's value; several of one name are joined by commas (RFC 9110, section 5.3)."""
        found = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(found) if found else None


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says about where to ask."""

    secure: bool
    host: str
    """As DNS and certificates spell it."""
    port: int
    authority: str
    """As the Host header spells it."""
    target: str
    """Path and query."""


@functools.lru_cache(maxsize=8192)
def address_of(url: str) -> Address:
    """Take a URL apart; kept, since a thousand checks ask for the same thousand URLs all day."""
    parts = urlsplit(url)
    name, secure = parts.hostname or "", parts.scheme == "https"
    host = name if name.isascii() else name.encode("idna").decode()
    spelled = f"[{host}]" if ":" in host else host
    return Address(
        secure,
        host,
        parts.port or (443 if secure else 80),
        f"{spelled}:{parts.port}" if parts.port else spelled,
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask. Host, Connection and Content-Length are added; `headers` may replace all but the last."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def address(self) -> Address:
        return address_of(self.url)

    def encode(self) -> bytes:
        """Give the bytes on the wire."""
        head = {"host": self.address.authority, "connection": "close"}
        head |= {"user-agent": "mainstay", "accept": "*/*", "accept-encoding": "identity"}
        head |= {name.lower(): value for name, value in self.headers.items()}
        if self.body is not None:
            head["content-length"] = str(len(self.body))
        lines = [f"{self.method} {self.address.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        return "\r\n".join([*lines, "", ""]).encode() + (self.body or b"")


class Exchange(asyncio.Protocol):
    """Collects one response. `finished` is done when it is whole, cut short on purpose, or broken (`fault`)."""

    def __init__(self, head_only: bool, most: int, monotonic: Callable[[], float]) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.fault: Exception | None = None
        self.first_byte_at: float | None = None
        self.response = Response()
        self._head_only = head_only
        self._most = most
        self._monotonic = monotonic
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[str, str]] = []
        self._head_size = 0
        self._in_body = False
        self._body = bytearray()

    def data_received(self, data: bytes) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self._monotonic()
        if self.finished.done():
            return
        self._head_size += 0 if self._in_body else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end()
        except httptools.HttpParserError as fault:
            self._end(BadAnswer(f"that is not an HTTP answer ({fault})"))
        if self._head_size > LONGEST_HEAD and not self._in_body:
            self._end(BadAnswer(f"its headers are longer than {LONGEST_HEAD // 1024} KiB"))

    def connection_lost(self, fault: Exception | None) -> None:
        if self.finished.done():
            return
        if self.first_byte_at is None:
            self._end(fault or BadAnswer("the connection was closed without an answer"))
        elif not self._in_body:
            self._end(fault or BadAnswer("the connection was closed in the middle of the headers"))
        elif self._framed():
            self._end(
                fault or BadAnswer(f"the connection was closed in the body, after {len(self._body)} bytes")
            )
        else:
            self._end(fault)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            return
        self._in_body = True
        self.response.status, self.response.headers = status, self._headers
        if self._head_only:
            self._end()

    def on_body(self, data: bytes) -> None:
        self._body += data[: self._most - len(self._body) + 1]
        if len(self._body) > self._most:
            del self._body[self._most :]
            self.response.cut = True
            self._end()

    def on_message_complete(self) -> None:
        if self._in_body:
            self._end()
        self._headers = []
        self._head_size = 0

    def _framed(self) -> bool:
        length, coding = self.response.header("content-length"), self.response.header("transfer-encoding")
        return length is not None or "chunked" in (coding or "").lower()

    def _end(self, fault: Exception | None = None) -> None:
        if not self.finished.done():
            self.fault = fault
            self.response.body = bytes(self._body)
            self.finished.set_result(None)


async def exchange(
    place: Place,
    request: Request,
    trail: Trail,
    *,
    most: int,
    tls: ssl.SSLContext | None = None,
    connect_to: tuple[str, int] | None = None,
) -> Response:
    """Send one request on a fresh connection; raises `BadAnswer` besides what `dial` raises."""
    asked = request.address
    host, port = connect_to or (asked.host, asked.port)
    transport, made = await dial(
        place,
        host,
        port,
        lambda: Exchange(request.method == "HEAD", most, place.monotonic),
        trail,
        tls=tls if asked.secure else None,
        server_name=asked.host,
    )
    try:
        transport.write(request.encode())
        trail.phases["first_byte"] = 0.0
        began = place.monotonic()
        await made.finished
        trail.phases["first_byte"] = round((made.first_byte_at or place.monotonic()) - began, 6)
    except BaseException:
        transport.abort()
        raise
    transport.close()
    if made.fault is not None:
        raise made.fault
    made.response.body, more = _decoded(made.response, most)
    made.response.cut = made.response.cut or more
    return made.response


def _decoded(response: Response, most: int) -> tuple[bytes, bool]:
    """Undo a compression that we did not ask for, as far as `most` bytes."""
    coding = (response.header("content-encoding") or "").strip().lower()
    if coding not in ("gzip", "x-gzip", "deflate") or not response.body:
        return response.body, False
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        body = inflater.decompress(response.body, most)
    except zlib.error as fault:
        raise BadAnswer(f"its body is not {coding}: {fault}") from None
    return body, bool(inflater.unconsumed_tail)
