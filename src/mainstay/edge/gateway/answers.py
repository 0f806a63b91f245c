"""What the gateway answers in an origin's stead."""

from collections.abc import Iterable

from mainstay.edge.gateway.fields import retry_after
from mainstay.edge.gateway.limits.gcra import SECOND
from mainstay.edge.gateway.policy import Deny
from mainstay.edge.http.exchange import Header
from mainstay.edge.http.problem import HEADERS, problem


def refusal(
    status: int, why: str, detail: str, headers: Iterable[Header] = (), *, close: bool = False
) -> Deny:
    """Refuse."""
    return Deny(status, [*HEADERS, *headers], problem(status, why, detail), why, close=close)


def unavailable(why: str, detail: str, wait: float) -> Deny:
    """It is not the client's fault, and it is worth coming back after `wait` seconds."""
    return refusal(503, why, detail, [retry_after(int(wait * SECOND))])
