"""Counts and notes what became of every request of one listener."""

from mainstay.edge.http.accesslog import AccessLog, quoted
from mainstay.edge.http.head import Refused
from mainstay.edge.http.meter import Cell, Family, Meter
from mainstay.edge.http.turn import Turn
from mainstay.ports.clock import Clock

REQUESTS = Family("mainstay_edge_requests", "Requests by listener and status.", ("listener", "status"))
TOOK = Family(
    "mainstay_edge_request_seconds",
    "Seconds from the end of a request's head to the end of its answer.",
    ("listener",),
    kind="histogram",
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

FAMILIES = (REQUESTS, TOOK, CUT, REFUSED, RECEIVED, SENT, CONNECTIONS, DROPPED, PROCESSES)
"""What is counted of HTTP, whoever answers."""


AGENTS = 256
"""Names of clients' programs that are remembered in the form of the log."""


class Witness:
    """The `server.Observer` of a listener."""

    def __init__(self, listener: str, meter: Meter, clock: Clock, log: AccessLog | None = None) -> None:
        self.log = log
        self._listener = listener
        self._meter = meter
        self._clock = clock
        self._agents: dict[bytes, str] = {}
        self._by_status: dict[int, Cell] = {}
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
        if cut:
            self._cut.add()
        if turn.received:
            self._received.add(turn.received)
        if turn.sent:
            self._sent.add(turn.sent)
        if self.log is not None:
            self.log.put(self._line(turn, seconds, cut))

    def refused(self, address: str, refusal: Refused) -> None:
        self._meter.cell(REFUSED, self._listener, str(refusal.status)).add()
        if self.log is not None:
            self.log.put(
                f'{{"at":{self._clock.now():.3f},"listener":"{self._listener}","peer":"{address}",'
                f'"status":{refusal.status},"why":{quoted(str(refusal))}}}'
            )

    def connections(self, count: int) -> None:
        self._open.set(count)

    def _agent(self, agent: bytes) -> str:
        """Quote a program's name; there are few of them, so they are remembered."""
        if len(self._agents) >= AGENTS:
            self._agents.clear()
        found = self._agents[agent] = f',"agent":{quoted(agent[:256].decode("latin-1"))}'
        return found

    def _line(self, turn: Turn, seconds: float, cut: bool) -> str:
        head = turn.head  # neither its path nor its host can hold a quote: the gate has seen to that
        agent = head.get(b"user-agent")
        more = (self._agents.get(agent) or self._agent(agent)) if agent else ""
        if turn.notes:
            # Their names are ours, and most values plain.
            more += "".join([f',"{name}":{quoted(value)}' for name, value in turn.notes.items()])
        if cut:
            more += ',"cut":true'
        return (
            f'{{"at":{self._clock.now():.3f},"listener":"{self._listener}","peer":"{turn.peer}",'
            f'"method":"{head.method.decode()}","host":"{head.host.decode()}","path":"{head.path.decode()}",'
            f'"status":{turn.status or 499},"in":{turn.received},"out":{turn.sent},"ms":{seconds * 1000:.2f}{more}}}'
        )
