"""Answers of the gateway's own when an origin gives none."""

from dataclasses import dataclass

from mainstay.edge.http.exchange import Exchange, Header
from mainstay.edge.http.problem import HEADERS, named, problem


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong between us and an origin, as it is told to a client: nothing of what is inside."""

    status: int
    code: str
    text: str
    retry_after: int = 0
    """Seconds after which asking again makes sense; 0 when nothing is known of it."""


REFUSED = Fault(502, "origin_unreachable", "The service behind this gateway takes no connections.", 1)
CONNECT_TIMEOUT = Fault(
    504, "origin_connect_timeout", "The service behind this gateway could not be reached in time."
)
LOST = Fault(
    502, "origin_closed", "The service behind this gateway closed the connection before it answered."
)
ANSWER_TIMEOUT = Fault(504, "origin_timeout", "The service behind this gateway did not answer in time.")
BAD_ANSWER = Fault(
    502, "origin_answer_malformed", "The service behind this gateway gave an answer that is not HTTP."
)
LONG_HEAD = Fault(
    502, "origin_answer_too_large", "The head of the answer of the service behind this gateway is too large."
)
NO_ORIGIN = Fault(503, "no_origin", "No service is set up behind this route.")
FULL = Fault(503, "overloaded", "The service behind this gateway has as many requests as it can take.", 1)
TOO_MANY_TUNNELS = Fault(
    503, "too_many_websockets", "There are as many WebSockets as this route may have.", 5
)
LOOP = Fault(508, "loop_detected", "This request has come through the gateway again and again.")
SPELLING = Fault(400, "path_spelling", "Write the beginning of the path plainly, without percent signs.")
BROKEN = {"lost": LOST, "silent": ANSWER_TIMEOUT, "answer": BAD_ANSWER, "head": LONG_HEAD}
CONNECTING = {"refused": REFUSED, "timeout": CONNECT_TIMEOUT}


def tell(exchange: Exchange, fault: Fault, request_id: bytes, further: list[Header]) -> None:
    """Answer with a fault; `further` are the headers that every answer to this request has (limits, CORS, id)."""
    headers: list[Header] = [*HEADERS, *further]
    if fault.retry_after:
        headers.append((b"retry-after", b"%d" % fault.retry_after))
    exchange.respond(fault.status, headers, named(problem(fault.status, fault.code, fault.text), request_id))
