"""One request on its way to an origin, and its answer on the way back."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from mainstay.edge.gateway.policy import Admit
from mainstay.edge.http.exchange import Header
from mainstay.edge.http.turn import Turn
from mainstay.edge.proxy import faults
from mainstay.edge.proxy.answerhead import AnswerHead
from mainstay.edge.proxy.faults import Fault
from mainstay.edge.proxy.group import Group
from mainstay.edge.proxy.headers import told
from mainstay.edge.proxy.origin import Origin
from mainstay.edge.proxy.tunnel import Tunnel
from mainstay.edge.proxy.upstream import Upstream

REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Asking these twice is asking them once (RFC 9110, 9.2.2)."""
EXPECTED_WITHIN: Final = 1.0
"""Seconds that an origin has to say `100 Continue`; many never do, and get the body then."""

Finished = Callable[["Relay", str], None]


class Relay:
    """Carries one exchange: `Receiver` of the client's body, and `Asker` of an upstream.

    A request is sent again, once, when nothing of an answer has come, it can be repeated, it had no body, and the
    connection had been in use before: such a one may have been closed by the origin at that very moment. A connection
    that cannot be made at all is tried with the other origins, whatever the request is.
    """

    # What is false for nearly every request costs nothing here.
    origin: Origin | None = None
    upstream: Upstream | None = None
    _tried: tuple[Origin, ...] = ()
    _counted: bool = False
    _received: bool = False
    _repeated: bool = False
    _ended: bool = False
    _held: bool = False
    _choked: bool = False
    """Whether the client was told to wait with its body; whether the origin was, with its answer."""

    def __init__(
        self,
        exchange: Turn,
        fields: Mapping[bytes, bytes],
        admit: Admit,
        group: Group,
        target: bytes,
        request_id: bytes,
        began: float,
        finished: Finished,
    ) -> None:
        head = exchange.head
        self.exchange = exchange
        self.fields = fields
        self.admit = admit
        self.group = group
        self.target = target
        self.request_id = request_id
        self.began = began
        self._finished = finished
        self._sent = self._bodyless = head.length == 0
        self._expecting = head.expect

    # To the origin.

    def start(self) -> None:
        """Find an origin and a connection to it."""
        origin = self.origin = self.group.choose(self._tried)
        if origin is None:
            self.fail(faults.FULL if self.group.origins else faults.NO_ORIGIN)
            return
        origin.active += 1
        self._counted = True
        if self._repeated:  # the connection that was lost came from the pool; the next one may be as old
            origin.connect(self)
            return
        upstream = origin.take(fresh=not (self._bodyless and self.exchange.head.method in REPEATABLE))
        if upstream is None:
            origin.connect(self)
        else:
            self._send(origin, upstream)

    def connected(self, upstream: Upstream) -> None:
        origin = self.origin
        if origin is None or self._ended or upstream.transport.is_closing():
            if not self._ended:
                self.unreachable("refused")
            elif origin is not None:
                self._leave()
                origin.free(upstream)
            return
        self._send(origin, upstream)

    def unreachable(self, why: str) -> None:
        origin = self.origin
        if origin is None:
            return
        origin.failed(why)
        self._leave()
        if self._ended:
            return
        self._tried += (origin,)
        if any(other not in self._tried for other in self.group.origins):
            self.start()
        else:
            self.fail(faults.CONNECTING[why])

    def _send(self, origin: Origin, upstream: Upstream) -> None:
        exchange = self.exchange
        head = exchange.head
        self.upstream = upstream
        origin.tally.requests += 1
        upstream.ask(
            self,
            self.group.way.head(exchange, self.fields, self.admit, self.target, origin.authority),
            bodyless=head.method == b"HEAD",
            upgrading=head.upgrade is not None,
            whole=self._bodyless,
        )
        self._be_patient(upstream)
        if self._expecting:
            self.group.ticker.call(self, self._expect)
        elif not self._received:
            self._received = True
            if self._bodyless:
                exchange.watch(self)
            else:
                exchange.receive(self)

    def _be_patient(self, upstream: Upstream) -> None:
        """Set how long the origin may be silent now. Where it is the client that is slow, the edge watches it."""
        carry = self.group.route.carry
        upstream.touched = upstream.ticker.now
        if upstream.begun:
            upstream.patience = inf if self._choked else carry.idle
        elif self._sent or self._expecting:
            upstream.patience = carry.answer
        else:
            upstream.patience = carry.idle if self._held else inf

    def _expect(self, now: float) -> None:
        upstream = self.upstream
        if upstream is None or self._ended:
            self.group.ticker.drop(self)
        elif now - upstream.touched > EXPECTED_WITHIN:
            self._take_body()

    def _take_body(self) -> None:
        self.group.ticker.drop(self)
        self._expecting = False
        if not self._received and self.upstream is not None:
            self._received = True
            self._be_patient(self.upstream)
            self.exchange.receive(self)

    def data(self, piece: bytes) -> None:
        upstream = self.upstream
        if upstream is None:
            return  # the answer came before the body was whole
        upstream.touched = upstream.ticker.now
        if self.exchange.head.length is None:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        upstream.transport.write(piece)

    def end(self) -> None:
        upstream = self.upstream
        if upstream is None or self._sent:
            return
        self._sent = upstream.sent = True
        if self.exchange.head.length is None:
            upstream.transport.write(b"0\r\n\r\n")
        self._be_patient(upstream)

    def lost(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()
            self._leave()
        self._finish("client_gone")

    def slow(self, is_slow: bool) -> None:
        if self._sent or self.upstream is None:
            return
        self._held = is_slow
        self._be_patient(self.upstream)
        if is_slow:
            self.exchange.pause()
        else:
            self.exchange.resume()

    # From the origin.

    def interim(self, status: int) -> None:
        if status == 100 and self._expecting:
            self._take_body()

    def answer(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        exchange, origin, upstream = self.exchange, self.origin, self.upstream
        if origin is None or upstream is None:
            return
        origin.succeeded()
        lines = told(head, self.admit.response_headers, cors=self.group.way.cors)
        if complete:
            self._detach()
        if complete and exchange.head.method != b"HEAD":
            self._finish("")
            exchange.respond_with(head.status, lines, body)
            return
        exchange.begin_with(head.status, lines, head.length)
        if complete:
            self.complete()
            return
        self._be_patient(upstream)
        if body:
            self.more(body)

    def more(self, piece: bytes) -> None:
        if self.exchange.write(piece) or self._choked:
            return
        upstream = self.upstream
        if (
            upstream is not None and upstream.asker is self
        ):  # else the answer is whole, and it serves others already
            self._choked = True
            upstream.transport.pause_reading()
            self._be_patient(upstream)
            self.exchange.on_drain(self._drained)

    def _drained(self) -> None:
        self._choked = False
        if (upstream := self.upstream) is not None:
            self._be_patient(upstream)
            upstream.transport.resume_reading()

    def _detach(self) -> None:
        """The upstream has done its work."""
        self.upstream = None
        self._leave()
        if self._held:  # what is still to come of the body is read and dropped
            self._held = False
            self.exchange.resume()

    def complete(self) -> None:
        if self.upstream is not None:
            self._detach()
        if not self._ended:
            self._finish("")
            self.exchange.end()

    def broke(self, why: str, heard: bool) -> None:
        upstream, self.upstream = self.upstream, None
        origin = self.origin
        if origin is None or upstream is None or self._ended:
            return
        stale = why == "lost" and not heard and upstream.answered > 0
        if not stale:
            origin.failed(why)
        self._detach()
        if stale and self._may_repeat():
            self._repeated = True
            self.start()
        elif upstream.begun:
            self._finish("origin_died")
            self.exchange.abort()  # a half answer must never look like a whole one
        else:
            self.fail(faults.BROKEN[why])

    def _may_repeat(self) -> bool:
        return self._bodyless and not self._repeated and self.exchange.head.method in REPEATABLE

    def switched(self, headers: list[Header], rest: bytes) -> None:
        origin, upstream = self.origin, self.upstream
        if origin is None or upstream is None:
            return
        origin.succeeded()
        Tunnel(self, upstream).open(headers, rest)

    # The end.

    def fail(self, fault: Fault) -> None:
        """Answer with a fault of our own."""
        if not self._ended:
            self._finish(fault.code)
            faults.tell(self.exchange, fault, self.request_id, self.admit.response_headers)

    def left(self, why: str) -> None:
        """The tunnel was closed."""
        self.upstream = None
        self._leave()
        self._finish(why)

    def _leave(self) -> None:
        if self._counted and self.origin is not None:
            self._counted = False
            self.origin.active -= 1

    def _finish(self, why: str) -> None:
        if not self._ended:
            self._ended = True
            self._finished(self, why)
