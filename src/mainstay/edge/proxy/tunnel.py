"""A connection that has changed its protocol: bytes both ways, until one side ends or both are silent."""

from typing import TYPE_CHECKING

from mainstay.edge.http.exchange import Header
from mainstay.edge.proxy.answerhead import AnswerHead
from mainstay.edge.proxy.headers import ANSWER_DROPS, answer_headers
from mainstay.edge.proxy.upstream import Upstream

if TYPE_CHECKING:
    from mainstay.edge.proxy.relay import Relay


class Tunnel:
    """`Receiver` of what the client sends, and `Asker` for what the origin sends, after `101 Switching Protocols`."""

    __slots__ = ("_choked", "_held", "exchange", "relay", "upstream")

    def __init__(self, relay: "Relay", upstream: Upstream) -> None:
        self.relay = relay
        self.exchange = relay.exchange
        self.upstream: Upstream | None = upstream
        self._held = self._choked = False

    def open(self, headers: list[Header], rest: bytes) -> None:
        """Tell the client, and carry from now on; `rest` is what the origin has said already."""
        upstream = self.upstream
        if upstream is None:
            return
        upstream.asker = self
        self._be_patient(upstream)
        self.relay.group.tunnels += 1
        ours = self.relay.admit.response_headers
        told = answer_headers(headers, upstream.fields, ours, cors=self.relay.group.way.cors)
        lines = b"".join(b"%b: %b\r\n" % header for header in told if header[0] not in ANSWER_DROPS)
        self.exchange.tunnel(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + lines
            + b"\r\n",
            self,
        )
        if rest:
            self.more(rest)

    def _be_patient(self, upstream: Upstream) -> None:
        carry = self.relay.group.route.carry
        upstream.touched = upstream.ticker.now
        upstream.patience = carry.idle if self._held or self._choked else carry.tunnel_idle

    # From the client.

    def data(self, piece: bytes) -> None:
        upstream = self.upstream
        if upstream is not None:
            upstream.touched = upstream.ticker.now
            upstream.transport.write(piece)

    def end(self) -> None:
        """The client will send no more: a WebSocket is over then."""
        self._close("")

    def lost(self) -> None:
        self._close("")

    def slow(self, is_slow: bool) -> None:
        if (upstream := self.upstream) is None:
            return
        self._held = is_slow
        self._be_patient(upstream)
        if is_slow:
            self.exchange.pause()
        else:
            self.exchange.resume()

    # From the origin.

    def more(self, piece: bytes) -> None:
        upstream = self.upstream
        if upstream is None or self.exchange.write(piece) or self._choked:
            return
        self._choked = True
        upstream.transport.pause_reading()
        self._be_patient(upstream)
        self.exchange.on_drain(self._drained)

    def _drained(self) -> None:
        self._choked = False
        if (upstream := self.upstream) is not None:
            self._be_patient(upstream)
            upstream.transport.resume_reading()

    def broke(self, why: str, heard: bool) -> None:
        """The origin has ended, or both were silent."""
        if self.upstream is None:
            return
        self._finish("tunnel_silent" if why == "silent" else "")
        if why == "silent":
            self.exchange.abort()
        else:
            self.exchange.end()

    def interim(self, status: int) -> None: ...

    def answer(self, head: AnswerHead, body: bytes, complete: bool) -> None: ...

    def complete(self) -> None: ...

    def switched(self, headers: list[Header], rest: bytes) -> None: ...

    # The end.

    def _close(self, why: str) -> None:
        upstream = self.upstream
        if upstream is not None:
            self._finish(why)
            upstream.asker = None
            upstream.transport.close()  # what was given to it still goes out

    def _finish(self, why: str) -> None:
        self.upstream = None
        self.relay.group.tunnels -= 1
        self.relay.left(why)
