"""The exact rule that a limit keeps, told another way than the limiters do it: by counting what was admitted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mainstay.edge.gateway.limits import Rule
from mainstay.edge.gateway.rates import limit


def rule(rate: str, burst: int | None = None, name: str = "plan") -> Rule:
    settings = limit(rate).model_copy(update={"burst": burst})
    made = Rule.of(name, settings)
    assert made is not None
    return made


def burst(rule: Rule) -> int:
    return rule.full // rule.interval


def may(admitted: Sequence[int], rule: Rule, now: int) -> bool:
    """Whether one more at `now` keeps every span that ends now within burst + span / interval."""
    return all(
        (len(admitted) - index + 1 - burst(rule)) * rule.interval <= now - at
        for index, at in enumerate(admitted)
    )


def over(times: Iterable[int], rule: Rule) -> int:
    """Give by how many requests the worst span of all exceeds what it may admit; 0 when none does."""
    worst, lowest = 0, 0
    for index, at in enumerate(sorted(times)):
        here = index * rule.interval - at
        lowest = here if index == 0 else min(lowest, here)
        excess = here - lowest - rule.full + rule.interval
        worst = max(worst, -(-excess // rule.interval))
    return worst


def surely_over(spans: Iterable[tuple[int, int]], rule: Rule) -> int:
    """The same for requests of which is only known when they were asked about and when answered."""
    found = sorted(spans)
    worst = 0
    for start in range(0, len(found), max(1, len(found) // 200)):
        begun = found[start][0]
        ends = sorted(end for _, end in found[start:])
        for count, end in enumerate(ends, 1):
            excess = (count - burst(rule)) * rule.interval - (end - begun)
            worst = max(worst, -(-excess // rule.interval))
    return worst
