"""One connection to an origin: sends one request after the other and reads the answers strictly."""

import asyncio
import select
from math import inf
from typing import Final, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from mainstay.edge.http.exchange import Header
from mainstay.edge.http.memory import LONGEST
from mainstay.edge.proxy.answerhead import NO_BODY, AnswerHead, Heads, remember, seconds_of, size_of
from mainstay.edge.proxy.ticker import Ticker

MOST_HEAD: Final = 64 * 1024
MOST_HEADERS: Final = 256
UNKNOWN: Final = -1

# What an upstream is doing.
IDLE: Final = 0
ASKED: Final = 1
BODY: Final = 2
DONE: Final = 3
TUNNEL: Final = 4


class Asker(Protocol):
    """Who sent the request and takes the answer. After `complete` or `broke` the connection is no longer its own."""

    def interim(self, status: int) -> None:
        """An interim answer has come (1xx)."""
        ...

    def answer(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        """The head has come, with as much of the body as there was."""
        ...

    def more(self, piece: bytes) -> None:
        """A piece of the body has come."""
        ...

    def complete(self) -> None:
        """The answer that began with `answer` is whole."""
        ...

    def broke(self, why: str, heard: bool) -> None:
        """The connection has ended, fell silent or broke the rules; `heard` says whether any of an answer had come."""
        ...

    def switched(self, headers: list[Header], rest: bytes) -> None:
        """The origin has changed to the protocol that was asked for; `rest` is what it said in it already."""
        ...

    def slow(self, is_slow: bool) -> None:
        """The origin does not take what is sent (true), or does again."""
        ...


class Keeper(Protocol):
    """Who owns the connection: its origin."""

    ticker: Ticker
    heads: Heads
    """The heads of its answers that came more than once."""

    def free(self, upstream: "Upstream") -> None:
        """The connection can be used again."""
        ...

    def gone(self, upstream: "Upstream") -> None:
        """The connection was closed."""
        ...


class Upstream(asyncio.Protocol):
    """Reads answers with httptools, never leniently; the rest of a long body of known length passes it by."""

    __slots__ = (
        "_headers", "_heads", "_heard", "_keep", "_left", "_pieces", "_poll", "_raw_head", "_raw_parser", "_sink",
        "_sound", "_status", "_unsent", "_until_close", "answered", "asker", "begun", "bodyless", "fields",
        "idle_limit", "keeper", "patience", "sent", "state", "ticker", "touched", "transport", "upgrading",
    )  # fmt: skip

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.ticker = keeper.ticker
        self._heads = keeper.heads
        self._raw_head = b""
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._raw_parser = HttpResponseParser(self)
        self._poll = select.poll()
        self.asker: Asker | None = None
        self.state = IDLE
        self.touched = self.ticker.now
        self.patience = inf
        """Seconds of silence after which it is given up, while it is in use."""
        self.idle_limit = inf
        """Seconds for which the origin keeps it open unused, as far as it said so."""
        self.answered = 0
        """So many requests were answered on it."""
        self.sent = True
        self._unsent = b""
        self.bodyless = self.upgrading = False
        self.begun = False
        self._heard = 0
        self._headers: list[Header] = []
        self._sink: list[Header] = self._headers
        self.fields: dict[bytes, bytes] = {}
        """The headers of the answer by name; of a repeated one the last."""
        self._pieces: list[bytes] = []
        self._status = 0
        self._left = 0
        self._keep = self._sound = True
        self._until_close = False

    # What the relay does with it.

    def ask(self, asker: Asker, head: bytes, *, bodyless: bool, upgrading: bool, whole: bool) -> None:
        """Send a request's head. Its answer has no body, whatever its head says, when `bodyless` (HEAD); the request is
        `whole` when no body follows, else its asker sets `sent` in the end."""
        self.asker = asker
        self.state = ASKED
        self.bodyless = bodyless
        self.upgrading = upgrading
        self.touched = self.ticker.now
        self.sent = whole
        self._heard = self._left = 0
        self._raw_head = b""
        self.begun = False
        self._sound = True
        self._until_close = False
        if whole:
            self._unsent = head
            self.ticker.burst.add(self._send)
        else:
            self.transport.write(head)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent and not self.transport.is_closing():
            self.transport.write(unsent)

    @property
    def quiet(self) -> bool:
        """Whether an unused connection is as it was left: not ended, and nothing said that nobody asked for.

        The kernel is asked, for the event loop may not have come to it yet, and the next request would get that answer.
        """
        return not self.transport.is_closing() and not self._poll.poll(0)

    def close(self) -> None:
        """Cut it; nothing more is told of it to its asker."""
        self.asker = None
        self.transport.abort()

    def expired(self) -> None:
        """Give it up because it was silent for too long."""
        if self.asker is None:
            self.close()
        else:
            self._fail("silent")

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self.state == ASKED:
            self._headers = self._sink = []
        else:
            self._sound = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._sink.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.state != ASKED:
            return
        self._sink = []  # for those behind a body in chunks, which are dropped
        status = self._status = self._raw_parser.get_status_code()
        if status < 200:
            self._raw_head = b""  # the head that is to come was not at the beginning
            if status < 100 or (status == 101 and not self.upgrading):
                raise ValueError("an answer that nobody asked for")
            return
        if status > 599 or len(self._headers) > MOST_HEADERS:
            raise ValueError("no status of HTTP, or too many headers")
        self._keep = self._raw_parser.should_keep_alive()
        self._measure()
        self.state = BODY

    def on_body(self, piece: bytes) -> None:
        if self.state == BODY:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self.state == BODY:
            self.state = DONE
        elif self.state == ASKED and self._status != 101 and self.asker is not None:
            self.asker.interim(self._status)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        asker = self.asker
        if asker is None:  # nobody asked: what is said now would be taken for the answer to the next request
            self.transport.abort()
            return
        self.touched = self.ticker.now
        if self.state == TUNNEL or (self.state == BODY and self._left > 0):
            self._pass_by(asker, data)
            return
        if self.state == ASKED:
            if not self._heard and not self.bodyless and not self.upgrading and self._again(asker, data):
                return
            self._heard += len(data)
        try:
            self._raw_parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
            return
        except HttpParserError:
            if self.state != DONE:
                self._deliver_half()
                return
            self._sound = False
        if self.bodyless and self.state >= BODY:
            self._without_body(data)
        self._deliver(asker)

    def eof_received(self) -> bool | None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.keeper.gone(self)
        asker, self.asker = self.asker, None
        if asker is None:
            return
        if self.state == BODY and self._until_close and error is None:
            asker.complete()
        else:
            asker.broke("lost", self._heard > 0)

    def pause_writing(self) -> None:
        if self.asker is not None:
            self.asker.slow(True)

    def resume_writing(self) -> None:
        if self.asker is not None:
            self.asker.slow(False)

    # How an answer is read.

    def _again(self, asker: Asker, data: bytes) -> bool:
        """Take an answer whose head came before, byte for byte; False when it has to be read."""
        end = data.find(b"\r\n\r\n") + 4
        if not 4 <= end <= LONGEST:
            self._raw_head = b""
            return False
        raw = data[:end]
        head = self._heads.get(raw)
        if head is None or head.length is None:
            self._raw_head = raw
            return False
        self._heard = len(data)
        self._keep, self._until_close = True, False
        self._status, self._headers, self.fields = head.status, head.headers, head.fields
        if b"keep-alive" in head.fields:
            self.idle_limit = seconds_of(head.fields[b"keep-alive"])
        self.begun = True
        left = self._left = head.length - len(data) + end
        if left > 0:
            self.state = BODY
            asker.answer(head, data[end:], False)
            return True
        self._left = 0
        self._sound = not left or not data[end + head.length :].strip(b"\r\n")  # as the parser has it
        self.state = DONE
        self._release()
        asker.answer(head, data[end : end + head.length], True)
        return True

    def _measure(self) -> None:
        """Find out how the body is framed; refuse every transfer coding but one `chunked` of HTTP/1.1."""
        fields = self.fields = dict(self._headers)
        length = fields.get(b"content-length")  # llhttp refuses a second one, and what is no number
        chunked = b"transfer-encoding" in fields
        if chunked:
            codings = [value.strip().lower() for name, value in self._headers if name == b"transfer-encoding"]
            if codings != [b"chunked"] or self._raw_parser.get_http_version() != "1.1":
                raise ValueError("a transfer coding that is not understood")
        if b"keep-alive" in fields:
            self.idle_limit = seconds_of(fields[b"keep-alive"])
        self._left = UNKNOWN if length is None else int(length)
        self._until_close = (
            length is None and not chunked and not self.bodyless and self._status not in NO_BODY
        )

    def _deliver(self, asker: Asker) -> None:
        """Hand on what the parser has read of an answer."""
        if self.state == ASKED:
            if self._heard > MOST_HEAD:
                self._fail("head")
            return
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        length = self._left if self._left != UNKNOWN else None
        if self._left > 0:
            self._left -= len(body)
        done = self.state == DONE
        if not self.begun and self._heard > MOST_HEAD and size_of(self._headers) > MOST_HEAD:
            self._fail("head")
            return
        if done:
            self._release()
        if not self.begun:
            self._begin(asker, length, body, done)
            return
        if body:
            asker.more(body)
        if done:
            asker.complete()

    def _begin(self, asker: Asker, length: int | None, body: bytes, done: bool) -> None:
        self.begun = True
        head = AnswerHead(self._status, self._headers, self.fields, length)
        if self._raw_head and self._keep:
            remember(self._heads, self._raw_head, head)
        self._raw_head = b""
        asker.answer(head, body, done)

    def _without_body(self, data: bytes) -> None:
        """End an answer after its head; a byte more makes the connection unfit for another one."""
        if self._pieces or not data.endswith(b"\r\n\r\n"):
            self._sound = False
            self._pieces = []
        if self.state != DONE:
            self.state = DONE
            self._raw_parser = HttpResponseParser(self)

    def _pass_by(self, asker: Asker, data: bytes) -> None:
        """Hand bytes on without the parser: a tunnel's, or a body's whose length is known."""
        if self.state == TUNNEL:
            asker.more(data)
            return
        self._left -= len(data)
        if self._left > 0:
            asker.more(data)
            return
        if self._left < 0:
            self._sound = False
            data = data[: self._left]
        self.state = DONE
        self._raw_parser = HttpResponseParser(self)
        self._release()
        asker.more(data)
        asker.complete()

    def _release(self) -> None:
        """Give the connection back before the answer goes out, so that the client's next request finds it."""
        self.asker = None
        if self._keep and self._sound and self.sent:
            self.state = IDLE
            self.answered += 1
            self.patience = inf
            self.touched = self.ticker.now
            self.keeper.free(self)
        else:
            self.transport.abort()

    def _switch(self, rest: bytes) -> None:
        asker = self.asker
        named = [value.lower() for name, value in self._headers if name == b"upgrade"]
        if asker is None or self._status != 101 or named != [b"websocket"]:
            self._fail("answer")
            return
        self.state = TUNNEL
        asker.switched(self._headers, rest)

    def _deliver_half(self) -> None:
        """Hand on what came before the fault: what a client has seen of it must not depend on how packets fell."""
        asker = self.asker
        if asker is not None and self.state == BODY:
            self._deliver(asker)
        self._fail("answer")

    def _fail(self, why: str) -> None:
        asker, self.asker = self.asker, None
        self.transport.abort()
        if asker is not None:
            asker.broke(why, self._heard > 0)
