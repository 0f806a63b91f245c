"""What an answer tells a client of its limits."""

from collections.abc import Collection, Sequence

from mainstay.edge.gateway.limits import Taken, Want
from mainstay.edge.gateway.limits.gcra import SECOND, Rule
from mainstay.edge.http.exchange import Header


class Fields:
    """Writes `X-RateLimit-*`, and the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-11."""

    def __init__(self, kinds: Collection[str]) -> None:
        self._legacy = "x-ratelimit" in kinds
        self._draft = "ratelimit" in kinds
        self._policies: dict[tuple[Rule, ...], bytes] = {}

    def of(self, wants: Sequence[Want], taken: Taken) -> list[Header]:
        """Tell of all limits; the old fields have room for one, the one with the least left."""
        if not wants:
            return []
        rest = [rule.remaining(debt) for (_, rule), debt in zip(wants, taken.debts, strict=True)]
        if taken.refused >= 0:
            rest[taken.refused] = 0
        found: list[Header] = []
        if self._legacy:
            least = taken.refused if taken.refused >= 0 else rest.index(min(rest))
            rule = wants[least][1]
            found += [
                (b"x-ratelimit-limit", b"%d" % rule.quota),
                (b"x-ratelimit-remaining", b"%d" % rest[least]),
                (b"x-ratelimit-reset", b"%d" % seconds(taken.debts[least])),
            ]
        if self._draft:
            now = b", ".join(
                b'"%b";r=%d;t=%d' % (rule.name.encode(), left, seconds(debt))
                for (_, rule), left, debt in zip(wants, rest, taken.debts, strict=True)
            )
            found += [(b"ratelimit-policy", self._policy(wants)), (b"ratelimit", now)]
        return found

    def _policy(self, wants: Sequence[Want]) -> bytes:
        rules = tuple([rule for _, rule in wants])
        found = self._policies.get(rules)
        if found is None:
            if len(self._policies) > 1000:
                self._policies.clear()
            found = self._policies[rules] = b", ".join(
                b'"%b";q=%d;w=%d' % (rule.name.encode(), rule.quota, rule.window) for rule in rules
            )
        return found


def seconds(span: int) -> int:
    """Give whole seconds, rounded up: whoever waits so long has waited long enough."""
    return -(-span // SECOND)


def retry_after(span: int) -> Header:
    """Tell when it is worth coming back."""
    return b"retry-after", b"%d" % max(1, seconds(span))
