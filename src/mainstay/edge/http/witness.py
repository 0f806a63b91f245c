"""Counts and notes what became of every request of one listener."""

from typing import Final

from mainstay.edge.http.accesslog import AccessLog, milliseconds, quoted, said
from mainstay.edge.http.exchange import Head
from mainstay.edge.http.head import Refused
from mainstay.edge.http.meter import Cell, Family, Histogram, Meter
from mainstay.edge.http.turn import Turn
from mainstay.ports.clock import Clock

REQUESTS = Family("mainstay_edge_requests", "Requests by listener and status.", ("listener", "status"))
TOOK = Family(
    "mainstay_edge_request_seconds",
    "Seconds from the end of a request's head to the end of its answer.",
    ("listener",),
    kind="histogram",
)
ROUTE_TOOK = Family(
    "mainstay_edge_route_seconds",
    "Seconds from the end of a request's head to the end of its answer, by route.",
    ("listener", "route"),
    kind="histogram",
    bounds=(
        0.001,
        0.002,
        0.003,
        0.005,
        0.0075,
        0.01,
        0.015,
        0.02,
        0.03,
        0.05,
        0.075,
        0.1,
        0.15,
        0.25,
        0.5,
        1.0,
        2.5,
        10.0,
    ),
)
ROUTE_ANSWERS = Family(
    "mainstay_edge_route_answers",
    "Answers by route and the hundreds of their status: 2xx, 4xx and so on; 499 when the client went first.",
    ("listener", "route", "class"),
)
CUT = Family(
    "mainstay_edge_cut",
    "Requests that got no whole answer: the client went, was too slow, or the answer broke off.",
    ("listener",),
)
REFUSED = Family(
    "mainstay_edge_refused",
    "Requests refused before anything was asked: malformed, too long, too slow, too many.",
    ("listener", "status"),
)
RECEIVED = Family("mainstay_edge_received_bytes", "Bytes of requests' bodies.", ("listener",))
SENT = Family("mainstay_edge_sent_bytes", "Bytes of answers' bodies.", ("listener",))
CONNECTIONS = Family("mainstay_edge_connections", "Connections that are open.", ("listener",), kind="gauge")
DROPPED = Family("mainstay_edge_log_dropped", "Lines of the access log that could not be written.")
PROCESSES = Family("mainstay_edge_processes", "Processes of the edge that live.", kind="gauge")

FAMILIES = (
    REQUESTS,
    TOOK,
    ROUTE_TOOK,
    ROUTE_ANSWERS,
    CUT,
    REFUSED,
    RECEIVED,
    SENT,
    CONNECTIONS,
    DROPPED,
    PROCESSES,
)
"""What is counted of HTTP, whoever answers."""


CLIENTS: Final = 4096
"""Beginnings of lines that are remembered."""
CUT_SHORT: Final = ',"cut":true'
AGENTS: Final = 256
"""Names of clients' programs that are remembered in the form of the log."""


class Witness:
    """The `server.Observer` of a listener."""

    def __init__(self, listener: str, meter: Meter, clock: Clock, log: AccessLog | None = None) -> None:
        self.log = log
        self._listener = listener
        self._meter = meter
        self._clock = clock
        self._agents: dict[bytes, str] = {}
        self._clients: dict[tuple[str, bytes, bytes], str] = {}
        self._written_at = -1
        self._beginning = ""
        self._by_status: dict[int, Cell] = {}
        self._by_route: dict[tuple[str, int], tuple[Cell, Histogram]] = {}
        self._took = meter.histogram(TOOK, listener)
        self._cut = meter.cell(CUT, listener)
        self._received = meter.cell(RECEIVED, listener)
        self._sent = meter.cell(SENT, listener)
        self._open = meter.cell(CONNECTIONS, listener)

    def ended(self, turn: Turn, seconds: float, cut: bool) -> None:
        status = turn.status
        cell = self._by_status.get(status)
        if cell is None:
            # A request whose client went before it was answered has none: nginx calls that 499, and so do people.
            cell = self._meter.cell(REQUESTS, self._listener, str(status or 499))
            self._by_status[status] = cell
        cell.add()
        self._took.observe(seconds)
        if turn.route is not None:
            self._route_ended(turn.route, status // 100 or 4, seconds)
        if cut:
            self._cut.add()
        if turn.received:
            self._received.add(turn.received)
        if turn.sent:
            self._sent.add(turn.sent)
        if self.log is not None:
            self.log.put(self._line(turn, seconds, cut))

    def _route_ended(self, route: str, hundreds: int, seconds: float) -> None:
        known = self._by_route.get((route, hundreds))
        if known is None:
            answers = self._meter.cell(ROUTE_ANSWERS, self._listener, route, f"{hundreds}xx")
            known = self._by_route[route, hundreds] = (
                answers,
                self._meter.histogram(ROUTE_TOOK, self._listener, route),
            )
        known[0].add()
        if hundreds != 1:  # a WebSocket lasts as long as its client likes
            known[1].observe(seconds)

    def refused(self, address: str, refusal: Refused) -> None:
        self._meter.cell(REFUSED, self._listener, str(refusal.status)).add()
        if self.log is not None:
            self.log.put(
                f'{{"at":{self._clock.now():.3f},"listener":"{self._listener}","peer":"{address}",'
                f'"status":{refusal.status},"why":{quoted(str(refusal))}}}'
            )

    def connections(self, count: int) -> None:
        self._open.set(count)

    def _agent(self, head: Head) -> str:
        """Quote a program's name; there are few of them, so they are remembered."""
        agent = head.get(b"user-agent")
        found = self._agents.get(agent) if agent else ""
        if found is None:
            if len(self._agents) >= AGENTS:
                self._agents.clear()
            found = said("agent", agent[:256].decode("latin-1")) if agent else ""
            self._agents[agent or b""] = found
        head.block.agent = found
        return found

    def _client(self, turn: Turn) -> str:
        """Give how the lines of a client go on after the time: the same for many of its requests."""
        head = turn.head
        key = turn.peer, head.method, head.host
        found = self._clients.get(key)
        if found is None:
            if len(self._clients) >= CLIENTS:
                self._clients.clear()
            found = self._clients[key] = (
                f',"listener":"{self._listener}","peer":"{turn.peer}","method":"{head.method.decode()}",'
                f'"host":"{head.host.decode()}","path":"'
            )
        return found

    def _time(self) -> str:
        """Give how a line begins: to the millisecond, which many of them share."""
        now = int(self._clock.now() * 1000.0)
        if now != self._written_at:
            self._written_at = now
            self._beginning = f'{{"at":{now // 1000}.{now % 1000:03d}'
        return self._beginning

    def _line(self, turn: Turn, seconds: float, cut: bool) -> str:
        head = turn.head  # neither its path nor its host can hold a quote: the gate has seen to that
        more = head.block.agent
        if more is None:
            more = self._agent(head)
        return (
            f'{self._time()}{self._client(turn)}{head.path.decode()}","status":{turn.status or 499},'
            f'"in":{turn.received},"out":{turn.sent},"ms":{milliseconds(seconds)}{more}{turn.notes}'
            f"{CUT_SHORT if cut else ''}}}"
        )
