"""A client's connection: requests come in one after the other, each gets its turn, and a broken rule ends it."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from mainstay.edge.http.chunks import Chunks
from mainstay.edge.http.exchange import Head
from mainstay.edge.http.head import Refused, read_head, unfinished
from mainstay.edge.http.limits import AHEAD, DROPPED, LINGERING, PROGRESS
from mainstay.edge.http.turn import BEGUN, ENDED, WAITING, Turn

if TYPE_CHECKING:
    from mainstay.edge.http.server import Server

logger = logging.getLogger(__name__)

HEAD, BODY, HELD, TUNNEL, LINGER, CLOSED = range(6)
"""A head is awaited; a body is; the whole request was read and its answer is not; raw bytes pass; what still comes is
dropped until the client has read our answer; it is over."""


class Connection(asyncio.Protocol):
    """The protocol of asyncio. The server's sweep looks at `deadline`, in the clock's monotonic seconds; 0 is none."""

    __slots__ = (
        "_buffer", "_busy", "_chunks", "_held", "_left", "_mark", "_opened", "_paused", "_transport",
        "_unsent", "_written", "address", "certificate", "deadline", "phase", "secure", "server", "slow",
        "taken", "trusted", "turn",
    )  # fmt: skip

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.phase = HEAD
        self.turn: Turn | None = None
        self.deadline = 0.0
        self.taken = 0
        """Bytes that the client has sent."""
        self.slow = False
        """Whether the client does not take what is sent; `write` fills memory now."""
        self._buffer = self._unsent = b""
        self._chunks: Chunks | None = None
        self._left = 0
        self._busy = self._held = self._paused = self._opened = False
        self._mark = self._written = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Who comes by IPv4 to a socket for both has its address in the clothes of IPv6.
        self.address = str((transport.get_extra_info("peername") or ("",))[0]).removeprefix("::ffff:")
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self.secure = secured is not None
        self.certificate = secured.getpeercert(binary_form=True) if secured else None
        self.trusted = self.server.trust.covers(self.address)
        self._set_deadline()
        if not self.server.welcome(self):
            self._refuse(Refused(503, "there are too many connections"))

    def data_received(self, data: bytes) -> None:
        self.taken += len(data)
        if self.phase >= LINGER:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    def eof_received(self) -> bool:
        turn = self.turn
        self.send()
        if self.phase == TUNNEL and turn is not None and turn.receiver is not None:
            turn.receiver.end()
            return not self.secure
        # Who ends his side while he waits has gone: nothing else would tell us before we write to him.
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.phase = CLOSED
        self._buffer = b""
        self.server.farewell(self)
        self._lose()

    def pause_writing(self) -> None:
        self.slow = True
        self._mark = self._flushed()
        self.deadline = self.server.clock.monotonic() + self.server.limits.body_timeout

    def resume_writing(self) -> None:
        self.slow = False
        self._set_deadline()
        if self.turn is not None:
            self.turn.drained()
        if self._buffer:
            self.soon(self._advance)

    def write(self, data: bytes, body: bytes = b"") -> None:
        """Send bytes, and a body that is too large to be copied behind them."""
        self.send()
        self._written += len(data) + len(body)
        self._transport.writelines((data, body) if body else (data,))

    def write_soon(self, data: bytes) -> None:
        """Send bytes at the end of this round of the loop, or before whatever is done to the connection next."""
        self.send()
        self._unsent = data
        self.server.burst.add(self.send)

    def send(self) -> None:
        """Send what was put off."""
        data, self._unsent = self._unsent, b""
        if data and not self._transport.is_closing():
            self._written += len(data)
            self._transport.write(data)

    def may_keep(self, turn: Turn) -> bool:
        """Whether the connection can go on after this answer."""
        if not turn.head.keep_alive or self.server.draining:
            return False
        return turn.whole or (self._chunks is None and turn.continued and self._left <= DROPPED)

    def soon(self, action: Callable[[], None]) -> None:
        """Do it when whoever calls has returned."""
        asyncio.get_running_loop().call_soon(action)

    def wanted(self, turn: Turn) -> None:
        """The body is asked for."""
        if not turn.continued:
            if self._buffer:
                turn.continued = True  # it did not wait
            else:
                turn.continue_()
        if not self._busy:
            self.soon(self._advance)

    def hold(self, held: bool) -> None:
        """Read no more, or go on reading."""
        self._held = held
        self._throttle()
        if not held and not self._busy:
            self.soon(self._advance)

    def answered(self, turn: Turn) -> None:
        """The answer is whole: take up the next request, or close."""
        now = self.server.ended(turn)
        self._held = False
        if not turn.keep or self.server.draining:
            self._leave(clean=turn.whole and not self._buffer)
        elif turn.whole:
            self._renew(now)
        if not self._busy and (self._buffer or self._paused):
            self.soon(self._advance)

    def tunnel(self) -> None:
        """From here on bytes pass as they are."""
        self.phase = TUNNEL
        self.deadline = 0.0
        if not self._busy:
            self.soon(self._advance)

    def cut(self, turn: Turn) -> None:
        """End the connection so that nobody takes what was sent for whole."""
        self.server.ended(turn, cut=True)
        self.turn = None
        self.abort()

    def overdue(self) -> None:
        """The deadline is over: what that means depends on what was awaited."""
        if self.slow or self.phase == LINGER:
            if not self._progressed(self._flushed()) or not self._transport.get_write_buffer_size():
                self.abort()
        elif self.phase == BODY:
            if not self._progressed(self.turn.received if self.turn else 0) and not self._waits_for_us():
                self._refuse(Refused(408, "the body did not come in time"))
        elif self.phase == HEAD and self._buffer:
            self._refuse(Refused(408, "the head did not come in time"))
        elif self.phase == HEAD and not self._transport.get_write_buffer_size():
            self._leave(clean=True)
        else:
            self.abort()

    @property
    def waiting(self) -> int:
        """Bytes that nobody has taken yet."""
        return len(self._buffer)

    def drain(self) -> None:
        """The server ends: close when there is nothing under way."""
        if self.phase == HEAD and not self._buffer:
            self._leave(clean=True)

    def abort(self) -> None:
        """Close at once."""
        self.send()  # a whole answer, which the client may still get
        self.phase = CLOSED
        self._transport.abort()

    def _advance(self) -> None:
        """Take from the buffer what can be taken now."""
        if self._busy:
            return
        self._busy = True
        served = 0
        try:
            while self._step():
                served += self.phase == HEAD
                if served >= self.server.limits.pipeline and self._buffer:
                    self.soon(self._advance)  # others have their turn first
                    break
        except Refused as refusal:
            self._refuse(refusal)
        except Exception:
            logger.exception("a handler broke")
            self._broken()
        finally:
            self._busy = False
        if self._paused or self._held or len(self._buffer) > AHEAD:
            self._throttle()

    def _step(self) -> bool:
        """Go one step on; whether another may follow at once."""
        if self.phase == HEAD:
            # Who does not read his answers gets no more of them: they would pile up here.
            return bool(self._buffer) and not self.slow and self._take_head()
        turn = self.turn
        if self._held or turn is None:
            return False
        if self.phase == BODY:
            return self._take_body(turn)
        if self.phase == TUNNEL and self._buffer and turn.receiver is not None:
            data, self._buffer = self._buffer, b""
            turn.receiver.data(data)
        return False

    def _take_head(self) -> bool:
        raw, server = self._buffer, self.server
        limits = server.limits.head
        end = raw.find(b"\r\n\r\n", 2 if raw[:2] == b"\r\n" else 0) + 4
        if end < 4 or end > limits.head:
            self._judge_beginning(raw)
            return False
        if end == len(raw):
            self._buffer = b""
        else:
            self._buffer = raw[end:]
            raw = raw[:end]
        self._opened = False
        self._open_turn(read_head(raw, limits, server.blocks))
        return self.phase != HELD

    def _judge_beginning(self, raw: bytes) -> None:
        refusal = unfinished(raw, self.server.limits.head)
        if refusal is not None:
            raise refusal
        if not self._opened:
            self._opened = True
            self._set_deadline()

    def _open_turn(self, head: Head) -> None:
        server = self.server
        now = server.clock.monotonic()
        peer, secure = self.address, self.secure
        if self.trusted:
            peer, secure = server.trust.see_through(head, peer, secure)
        turn = self.turn = Turn(self, head, peer, secure, now)
        self._left = head.length or 0
        self._chunks = None
        if head.length == 0:
            turn.whole = True
            self.phase = HELD
            self.deadline = 0.0
        else:
            if head.length is None:
                self._chunks = Chunks(server.limits.head.body)
            self.phase = BODY
            self._mark = 0
            self.deadline = now + server.limits.body_timeout
        server.handler.accept(turn)

    def _take_body(self, turn: Turn) -> bool:
        if turn.receiver is None and turn.state is WAITING:
            return False  # it may be asked for later
        whole = self._read_body(turn)
        if self.turn is not turn or self.phase != BODY or not whole:
            return False
        turn.whole = True
        self.phase = HELD
        self.deadline = 0.0
        if turn.state is ENDED:
            self._renew(self.server.clock.monotonic())
        elif turn.receiver is not None:
            turn.receiver.end()
        return self.phase == HEAD

    def _read_body(self, turn: Turn) -> bool:
        """Pass on what has come of the body; whether that was all."""
        data = self._buffer
        if not data:
            return False
        if self._chunks is not None:
            pieces, rest = self._chunks.feed(data)
            data, self._buffer = b"".join(pieces), rest or b""
            whole = rest is not None
        else:
            self._buffer = data[self._left :]
            if self._buffer:
                data = data[: self._left]
            self._left -= len(data)
            whole = not self._left
        turn.received += len(data)
        if data and turn.receiver is not None and turn.state is not ENDED:
            turn.receiver.data(data)
        return whole

    def _renew(self, now: float) -> None:
        """Be ready for the next request, if there is to be one."""
        self.turn = None
        if self.server.draining:
            self._leave(clean=not self._buffer)
            return
        self.phase = HEAD
        self.deadline = now + self.server.limits.idle_timeout

    def _throttle(self) -> None:
        if self._transport.is_closing():
            return
        full = len(self._buffer) > max(AHEAD, self.server.limits.head.head)
        wanted = self.phase < LINGER and (self._held or full)
        if wanted != self._paused:
            self._paused = wanted
            (self._transport.pause_reading if wanted else self._transport.resume_reading)()

    def _refuse(self, refusal: Refused) -> None:
        turn = self.turn
        if turn is not None and turn.state is BEGUN:
            self._lose()
            self.abort()
            return
        if turn is None:
            self.server.refused(self, refusal)
        else:
            turn.status = turn.status or refusal.status
        told = turn is not None and turn.state is ENDED
        self._lose()
        if not told:
            self.write(self.server.refusal(refusal))
        self._leave(clean=False)

    def _lose(self) -> None:
        turn, self.turn = self.turn, None
        if turn is not None and turn.state is not ENDED:
            self.server.ended(turn, cut=True)
            turn.lose()

    def _broken(self) -> None:
        turn = self.turn
        if turn is not None and turn.state is WAITING:
            self.server.broken(turn)
        else:
            self.abort()

    def _leave(self, clean: bool) -> None:
        """Close; unless `clean` wait a little, or the kernel would throw away what the client has not read yet."""
        self._buffer = b""
        self.send()
        self.phase = LINGER
        self._set_deadline()
        if clean:
            self._transport.close()
        else:
            if not self.secure:
                self._transport.write_eof()
            self._throttle()

    def _set_deadline(self) -> None:
        now, limits = self.server.clock.monotonic(), self.server.limits
        if self.phase == HEAD:
            self.deadline = now + (limits.head_timeout if self._opened else limits.idle_timeout)
        elif self.phase == BODY:
            self._mark = self.turn.received if self.turn else 0
            self.deadline = now + limits.body_timeout
        elif self.phase == LINGER:
            self._mark = self._flushed()
            unsent = self._transport.get_write_buffer_size() > 0
            self.deadline = now + (limits.body_timeout if unsent else LINGERING)
        else:
            self.deadline = 0.0

    def _progressed(self, done: int) -> bool:
        """Whether enough has passed since the deadline was set; there is a new one in any case."""
        enough, self._mark = done - self._mark >= PROGRESS, done
        self.deadline = self.server.clock.monotonic() + self.server.limits.body_timeout
        return enough

    def _waits_for_us(self) -> bool:
        turn = self.turn
        return self._held or (turn is not None and turn.receiver is None and turn.state is WAITING)

    def _flushed(self) -> int:
        return self._written - self._transport.get_write_buffer_size()
