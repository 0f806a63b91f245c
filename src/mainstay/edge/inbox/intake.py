"""Takes webhooks in: `POST /SOURCE` is proven, put on disk, and answered with 202, in this order."""

import logging
from collections.abc import Mapping
from functools import partial

from mainstay.core.ids import new_id
from mainstay.edge.http.exchange import Exchange, Head, Header
from mainstay.edge.http.problem import HEADERS, problem
from mainstay.edge.inbox.counts import Counts
from mainstay.edge.inbox.gather import Gather
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.inbox.source import Source
from mainstay.edge.schemes.base import Delivery, Headers, Refused, Reply
from mainstay.ports.clock import Clock
from mainstay.store.inbox import Stored

log = logging.getLogger(__name__)

JSON: tuple[Header, ...] = ((b"content-type", b"application/json"),)
RETRY_AFTER = b"5"
"""Seconds after which a sender may come again when nothing can be kept now."""
COMPLAIN_EVERY = 10.0
"""Seconds between two lines of the log about forgeries of one source."""
REFUSALS = {
    "unknown": (404, "there is no such source"),
    "address": (403, "requests are not let in from this address"),
    "method": (405, "send events with POST"),
    "too_large": (413, "the body is too large"),
    "handshake": (403, "the signature is missing or wrong"),
    "unproven": (401, "the signature is missing or wrong"),
    "malformed": (400, "the body is not JSON"),
    "busy": (503, "nothing can be kept at the moment"),
}
"""What is said with each outcome that is no success."""


class Intake:
    """Answers the requests of senders."""

    def __init__(
        self, sources: Mapping[str, IntakeSettings], gather: Gather, clock: Clock, counts: Counts
    ) -> None:
        self.gather = gather
        self._clock = clock
        self.counts = counts
        self.coming: dict[Body, None] = {}
        """Bodies of which a part is here, the one that began first in front."""
        self._complained: dict[str, float] = {}
        self._sources = {f"/{name}".encode(): Source(name, settings) for name, settings in sources.items()}

    @property
    def unsaved_bytes(self) -> int:
        """Bytes in memory that are not on disk: events that wait, and bodies that are being received."""
        return self.gather.bytes

    @property
    def trouble(self) -> str | None:
        """Why nothing is taken in now; None when all is well."""
        return self.gather.trouble

    def accept(self, exchange: Exchange) -> None:
        """Take a request whose head was read: say at once what needs no body."""
        head = exchange.head
        source = self._sources.get(head.path)
        if source is None:
            self._refuse(exchange, "", "unknown")
        elif not source.lets_in(exchange.peer):
            self._refuse(exchange, source.name, "address")
        elif head.method not in source.methods:
            self._refuse(exchange, source.name, "method", (b"allow", b", ".join(source.methods)))
        elif head.length is not None and head.length > source.max_body:
            self.too_large(source, exchange)
        elif not self._makes_room(head.length or 0):
            self.busy(source, exchange)
        else:
            exchange.receive(Body(self, source, exchange))

    def judge(self, source: Source, exchange: Exchange, body: bytes) -> None:
        """Take a whole request: everything but the answer to a genuine one, which waits for the disk."""
        now = self._clock.now()
        request = _delivery(source, exchange, body)
        reply = source.handshake(request, now)
        if reply is not None and reply.status < 400:
            self._reply(exchange, source, reply)
            return
        if reply is not None or request.method != "POST":
            self._refuse(exchange, source.name, "handshake")
            return
        verdict = source.verify(request, now)
        if isinstance(verdict, Refused):
            self._complain(source, exchange.peer, verdict.why, now)
            self._refuse(exchange, source.name, "unproven")
        elif source.malformed(request):
            self._refuse(exchange, source.name, "malformed")
        elif not self._makes_room(len(body)):
            self.busy(source, exchange)
        else:
            arrival = source.arrival(request, verdict, now, new_id(now))
            self.gather.put(arrival, partial(self._stored, source, exchange))

    def _makes_room(self, size: int) -> bool:
        """Whether an event of `size` bytes may be taken in, if need be in place of bodies that are being received.

        Nobody has proven those yet, and the one that has taken longest is no great loss: without this a few strangers
        with bodies that never end could fill the memory and keep everybody else out.
        """
        while not self.gather.has_room(size):
            if not (self.coming and self.gather.is_full_of_bytes(size)):
                return False
            next(iter(self.coming)).give_way()
        return True

    def _stored(self, source: Source, exchange: Exchange, stored: Stored | None) -> None:
        if stored is None:
            self.busy(source, exchange)
        elif stored.new:
            self._say(
                exchange, source.name, "queued", 202, b'{"status":"queued","id":"%b"}\n' % stored.id.encode()
            )
        else:
            self._say(
                exchange, source.name, "copy", 200, b'{"status":"duplicate","id":"%b"}\n' % stored.id.encode()
            )

    def _reply(self, exchange: Exchange, source: Source, reply: Reply) -> None:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
        self._say(exchange, source.name, "handshake", reply.status, reply.body, headers)

    def _complain(self, source: Source, peer: str, why: str, now: float) -> None:
        """Tell the log, now and then: a flood of forgeries must not become a flood of lines."""
        if abs(now - self._complained.get(source.name, 0.0)) >= COMPLAIN_EVERY:
            self._complained[source.name] = now
            log.warning("a webhook for %s from %s is refused: %s", source.name, peer, why)

    def too_large(self, source: Source, exchange: Exchange) -> None:
        """Say so, also of a body whose length was not known before."""
        self._refuse(exchange, source.name, "too_large")

    def busy(self, source: Source, exchange: Exchange) -> None:
        """Say that the sender is to come again."""
        self._refuse(exchange, source.name, "busy", (b"retry-after", RETRY_AFTER))

    def _refuse(self, exchange: Exchange, source: str, outcome: str, *headers: Header) -> None:
        status, detail = REFUSALS[outcome]
        self._say(exchange, source, outcome, status, problem(status, outcome, detail), (*HEADERS, *headers))

    def _say(
        self,
        exchange: Exchange,
        source: str,
        outcome: str,
        status: int,
        body: bytes,
        headers: "tuple[Header, ...] | list[Header]" = JSON,
    ) -> None:
        self.counts.outcome(source, outcome)
        if not exchange.gone:
            exchange.respond(status, headers, body)

    def reserve(self, size: int) -> None:
        """Count bytes that are being received; a negative size gives them back."""
        self.gather.reserve(size)
        if size > 0:
            self._makes_room(0)


class Body:
    """Collects a request's body, up to what its source may send."""

    __slots__ = ("_exchange", "_here", "_intake", "_size", "_source")

    def __init__(self, intake: Intake, source: Source, exchange: Exchange) -> None:
        self._intake = intake
        self._source = source
        self._exchange = exchange
        self._here: bytes | bytearray | None = b""
        self._size = 0

    def data(self, piece: bytes) -> None:
        """Take a piece; nothing more is kept once it is too large."""
        if self._here is None:
            return
        if not self._here:
            self._here = piece
            if len(piece) != self._exchange.head.length:
                self._intake.coming[self] = None
        else:
            if isinstance(self._here, bytes):
                # One block: a list of pieces as small as people like to send them takes twenty times as much.
                self._here = bytearray(self._here)
            self._here += piece
        self._size += len(piece)
        if self._size > self._source.max_body:
            self._size -= len(piece)
            self._drop()
            self._intake.too_large(self._source, self._exchange)
        else:
            self._intake.reserve(len(piece))

    def end(self) -> None:
        """The body is whole."""
        here = self._here
        if here is not None:
            self._drop()
            self._intake.judge(self._source, self._exchange, bytes(here))

    def lost(self) -> None:
        """The sender has gone before its body was whole: there is no event."""
        self._drop()

    def give_way(self) -> None:
        """Make room for others: the sender is to come again."""
        self._drop()
        self._intake.busy(self._source, self._exchange)

    def _drop(self) -> None:
        if self._here is not None:
            self._here = None
            self._intake.coming.pop(self, None)
            self._intake.reserve(-self._size)


def _delivery(source: Source, exchange: Exchange, body: bytes) -> Delivery:
    head = exchange.head
    return Delivery(
        "POST" if head.method == b"POST" else head.method.decode("latin-1"),
        head.path.decode("latin-1"),
        head.query.decode("latin-1") if head.query else "",
        Headers(head.headers),
        body,
        exchange.peer,
        _url(source, head, secure=exchange.secure) if source.signs_url else "",
    )


def _url(source: Source, head: Head, *, secure: bool) -> str:
    query = f"?{head.query.decode('latin-1')}" if head.query else ""
    if source.settings.url is not None:
        return source.settings.url + query
    scheme = "https" if secure else "http"
    return f"{scheme}://{head.host.decode('latin-1')}{head.path.decode('latin-1')}{query}"
