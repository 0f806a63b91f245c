"""The guards before an action, in order: pure, so that each can be tried against each.

A guard lets pass, asks to wait, or refuses. The first that does not let pass decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mainstay.core.units import format_duration
from mainstay.playbooks.settings import RestartSettings

MOST_PER_HOUR = 10
"""Actions on all services together; more than that is no healing but a second fault."""
HOUR = 3600.0
SLACK = 0.5
"""Seconds that a cooldown may be short of, so that a run which starts at its end does not wait once more."""


class Go(StrEnum):
    """What the guards say. WAIT: not now, look again. REFUSE: not at all. CALL: not at all, and people must know."""

    ACT = "act"
    WAIT = "wait"
    REFUSE = "refuse"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the guards say, why, and when (seconds since 1970) to look again."""

    go: Go
    reason: str
    again_at: float | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What the guards look at. `actions` are the times of this service's actions, `all_actions` of every one's."""

    now: float
    service: str
    settings: RestartSettings
    switched_off: str | None = None
    open: bool = True
    answers: bool = False
    unsure: str | None = None
    held: str | None = None
    missing: str | None = None
    silenced_until: float | None = None
    failing: Sequence[str] = ()
    actions: Sequence[float] = ()
    all_actions: Sequence[float] = ()
    waits: int = 0


Guard = Callable[[Situation], Decision | None]


def decide(situation: Situation) -> Decision:
    """Ask the guards in order."""
    for guard in GUARDS:
        decision = guard(situation)
        if decision is not None:
            return decision
    number = len(_recent(situation)) + 1
    return Decision(Go.ACT, f"restart {number} of at most {situation.settings.attempts}")


def _still_open(s: Situation) -> Decision | None:
    return None if s.open else Decision(Go.REFUSE, "the incident is over")


def _still_needed(s: Situation) -> Decision | None:
    return Decision(Go.REFUSE, f"{s.service} answers again") if s.answers else None


def _enabled(s: Situation) -> Decision | None:
    if s.switched_off is not None:
        return Decision(Go.REFUSE, f"healing is switched off: {s.switched_off}")
    if not s.settings.enabled:
        return Decision(Go.REFUSE, f"would have restarted {s.service}, but healing it is switched off")
    return None


def _not_held(s: Situation) -> Decision | None:
    return None if s.held is None else Decision(Go.REFUSE, f"somebody stopped {s.service}: {s.held}")


def _there(s: Situation) -> Decision | None:
    return None if s.missing is None else Decision(Go.CALL, s.missing)


def _not_silenced(s: Situation) -> Decision | None:
    if s.silenced_until is None:
        return None
    again = min(s.silenced_until, s.now + 900.0)
    return Decision(Go.WAIT, f"{s.service} is silenced, so somebody works on it", again)


def _known_to_fail(s: Situation) -> Decision | None:
    if s.unsure is None:
        return None
    again = s.now + min(600.0, 15.0 * 2.0 ** min(s.waits, 6))
    return Decision(Go.WAIT, f"nobody can say whether {s.service} still fails ({s.unsure})", again)


def _dependencies(s: Situation) -> Decision | None:
    if not s.failing:
        return None
    names = ", ".join(s.failing)
    again = s.now + min(600.0, 15.0 * 2.0 ** min(s.waits, 6))
    return Decision(
        Go.WAIT, f"{s.service} needs {names}, which fails too; restarting {s.service} would not help", again
    )


def _budget(s: Situation) -> Decision | None:
    used = len(_recent(s))
    if used < s.settings.attempts:
        return None
    window = format_duration(s.settings.window)
    return Decision(Go.CALL, f"{s.service} was restarted {used} times within {window} and still fails")


def _global_budget(s: Situation) -> Decision | None:
    used = sum(1 for at in s.all_actions if s.now - HOUR < at <= s.now)
    if used < MOST_PER_HOUR:
        return None
    return Decision(Go.CALL, f"{used} services were restarted within an hour; something larger is wrong")


def _cooldown(s: Situation) -> Decision | None:
    recent = _recent(s)
    if not recent:
        return None
    rest = min(s.settings.cooldown * 2.0 ** (len(recent) - 1), s.settings.window)
    again = recent[-1] + rest
    if s.now >= again - SLACK:
        return None
    return Decision(Go.WAIT, f"the last restart was {format_duration(s.now - recent[-1])} ago", again)


def _recent(s: Situation) -> list[float]:
    return sorted(at for at in s.actions if s.now - s.settings.window < at <= s.now)


GUARDS: tuple[Guard, ...] = (
    _still_open,
    _still_needed,
    _enabled,
    _there,
    _not_held,
    _not_silenced,
    _known_to_fail,
    _dependencies,
    _budget,
    _global_budget,
    _cooldown,
)
