"""What an answer tells a client of its limits."""

from collections.abc import Collection, Sequence

from mainstay.edge.gateway.limits import Taken, Want
from mainstay.edge.gateway.limits.gcra import SECOND
from mainstay.edge.http.exchange import Header


class Fields:
    """Writes `X-RateLimit-*`, and the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-11."""

    def __init__(self, kinds: Collection[str]) -> None:
        self._legacy = "x-ratelimit" in kinds
        self._draft = "ratelimit" in kinds

    def of(self, wants: Sequence[Want], taken: Taken) -> list[Header]:
        """Tell of all limits; the old fields have room for one, the one with the least left."""
        found: list[Header] = []
        if not wants:
            return found
        least, fewest = 0, -1
        policies: list[bytes] = []
        states: list[str] = []  # texts are put together more quickly than bytes
        for index, (_, rule) in enumerate(wants):
            debt = taken.debts[index]
            rest = 0 if index == taken.refused else max(0, (rule.full - debt) // rule.interval)
            if fewest < 0 or rest < fewest or index == taken.refused:
                least, fewest = index, rest
            policies.append(rule.said[1])
            states.append(f"{rule.said[2]}{rest};t={-(-debt // SECOND)}")
        if self._legacy:
            found.append((b"x-ratelimit-limit", wants[least][1].said[0]))
            found.append((b"x-ratelimit-remaining", str(fewest).encode()))
            found.append((b"x-ratelimit-reset", str(-(-taken.debts[least] // SECOND)).encode()))
        if self._draft:
            found.append((b"ratelimit-policy", b", ".join(policies)))
            found.append((b"ratelimit", ", ".join(states).encode()))
        return found


def seconds(span: int) -> int:
    """Give whole seconds, rounded up: whoever waits so long has waited long enough."""
    return -(-span // SECOND)


def retry_after(span: int) -> Header:
    """Tell when it is worth coming back."""
    return b"retry-after", b"%d" % max(1, seconds(span))
