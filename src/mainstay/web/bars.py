"""Uptime bars: what every check answered, by the minute, for a day, kept in memory and drawn as few SVG lines.

A page for a thousand services must not sum up a million rows, so the past is read once and only new minutes after that.
"""

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mainstay.ports.clock import Clock
from mainstay.store import views
from mainstay.store.base import Row, Store, Tx
from mainstay.web.words import share

TICKS = 90
MINUTES = 1440
NONE, OK, UNKNOWN, WARN, FAIL = range(5)
CODES = {"ok": OK, "unknown": UNKNOWN, "warn": WARN, "fail": FAIL}
CLASSES = ("none", "ok", "unknown", "warn", "fail")
WORDS = ("no data", "healthy", "unknown", "warning", "failing")
SPANS = ((1, 90 * 60, "90 min"), (4, 6 * 3600, "6 h"), (16, 86400, "24 h"))
"""Minutes a tick, how far back that reaches, and its name."""
FEW = 200
"""With no more checks than this, answers of the last minutes are read one by one too."""
AGAIN = 2.0
"""Seconds between two looks at the journal."""
_BATCH = 50
_OVERLAP = 4 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """What a bar shows: minutes a tick, and in words how much."""

    width: int
    label: str

    @classmethod
    def fitting(cls, age: float) -> "Window":
        """The smallest window that shows `age` seconds."""
        for width, reach, label in SPANS:
            if age <= reach:
                return cls(width, label)
        return cls(SPANS[-1][0], SPANS[-1][2])


class Ring:
    """One check's day: the worst answer of each minute, and how many answers were good and bad."""

    __slots__ = ("bad", "good", "head", "worst")

    def __init__(self, head: int) -> None:
        self.head = head
        self.worst = bytearray(MINUTES)
        self.good = array("H", bytes(2 * MINUTES))
        self.bad = array("H", bytes(2 * MINUTES))

    def advance(self, minute: int) -> None:
        """Move on to a minute; the slots of days ago become empty."""
        for passed in range(max(self.head + 1, minute - MINUTES + 1), minute + 1):
            slot = passed % MINUTES
            self.worst[slot] = NONE
            self.good[slot] = self.bad[slot] = 0
        self.head = max(self.head, minute)

    def put(self, minute: int, worst: int, good: int, bad: int) -> None:
        """Set one minute."""
        if self.head - MINUTES < minute <= self.head:
            slot = minute % MINUTES
            self.worst[slot] = worst
            self.good[slot] = min(good, 65535)
            self.bad[slot] = min(bad, 65535)

    def last(self, minutes: int) -> bytes:
        """The worst answers of the last minutes, oldest first."""
        split = (self.head + 1) % MINUTES
        return bytes(self.worst[split:] + self.worst[:split])[-minutes:]


class Bars:
    """Every check's day. `refresh` before reading; all from one event loop."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._rings: dict[str, Ring] = {}
        self._edge = 0.0
        self._first: float | None = None
        self._looked = float("-inf")
        self._lock = asyncio.Lock()

    async def refresh(self, checks: Sequence[str]) -> None:
        """Read what is new; cheap when called again at once."""
        async with self._lock:
            known = all(check in self._rings for check in checks)
            if known and self._clock.monotonic() - self._looked < AGAIN:
                return
            now = self._clock.now()
            await self._load(checks, now)
            self._looked = self._clock.monotonic()

    async def _load(self, checks: Sequence[str], now: float) -> None:
        fresh = [check for check in checks if check not in self._rings]
        old = [check for check in checks if check in self._rings]
        day = now - MINUTES * 60
        if self._first is None:
            self._first = await self._store.read(views.first_answer)
        for start, names in ((day, fresh), (max(day, self._edge - _OVERLAP), old)):
            for at in range(0, len(names), _BATCH):
                await self._read(names[at : at + _BATCH], start, now)
        self._rings = {check: self._rings[check] for check in checks}
        self._edge = now
        if len(checks) <= FEW:
            self._fill(await self._store.read(lambda tx: views.answers(tx, now - _OVERLAP, 5000)))
        self._overlay(await self._store.read(views.states), now)

    async def _read(self, names: Sequence[str], start: float, now: float) -> None:
        def unit(tx: Tx) -> list[Row]:
            return views.minutes(tx, names, start)

        rows = await self._store.read(unit)
        minute = int(now // 60)
        for name in names:
            self._rings.setdefault(name, Ring(minute)).advance(minute)
        for row in rows:
            good, bad = row["ok"] + row["warn"], row["fail"]
            worst = FAIL if bad else WARN if row["warn"] else OK if row["ok"] else UNKNOWN
            self._rings[row["check_id"]].put(int(row["at"] // 60), worst, good, bad)

    def _fill(self, rows: Iterable[Row]) -> None:
        """Minutes that are not summed up yet, from the answers themselves."""
        sums: dict[tuple[str, int], list[int]] = {}
        for row in rows:
            seen = sums.setdefault((row["check_id"], int(row["at"] // 60)), [NONE, 0, 0])
            code = CODES.get(row["verdict"], UNKNOWN)
            seen[0] = max(seen[0], code)
            seen[1] += code in (OK, WARN)
            seen[2] += code == FAIL
        for (check, minute), (worst, good, bad) in sums.items():
            ring = self._rings.get(check)
            if ring and ring.worst[minute % MINUTES] <= worst:
                ring.put(minute, worst, good, bad)

    def _overlay(self, states: Iterable[Row], now: float) -> None:
        """The present minute is at least as bad as the present answer."""
        for state in states:
            ring = self._rings.get(state["check_id"])
            minute = int(state["at"] // 60)
            if ring and ring.head - MINUTES < minute <= ring.head:
                slot = minute % MINUTES
                ring.worst[slot] = max(ring.worst[slot], CODES.get(state["verdict"], UNKNOWN))

    def window(self) -> Window:
        """How much there is to show."""
        return Window.fitting(self._clock.now() - self._first if self._first else 0.0)

    def ticks(self, checks: Iterable[str], window: Window) -> bytes:
        """Ninety ticks of a service: at every moment the worst of its checks."""
        minutes = TICKS * window.width
        rings = [self._rings[check].last(minutes) for check in checks if check in self._rings]
        if not rings:
            return bytes(TICKS)
        worst = rings[0] if len(rings) == 1 else bytes(map(max, *rings))
        return bytes(tick(worst[at : at + window.width]) for at in range(0, minutes, window.width))

    def uptime(self, checks: Iterable[str]) -> float | None:
        """The share of answers in the last 24 hours that did not fail; the worst check counts. None without answers."""
        shares = []
        for check in checks:
            ring = self._rings.get(check)
            total = sum(ring.good) + sum(ring.bad) if ring else 0
            if ring and total:
                shares.append(sum(ring.good) / total)
        return min(shares, default=None)


def tick(answers: bytes) -> int:
    """What a stretch amounts to: failing if it ever failed, unknown if it was mostly so."""
    for code in (FAIL, WARN):
        if code in answers:
            return code
    unknown, ok = answers.count(UNKNOWN), answers.count(OK)
    if unknown and unknown >= ok:
        return UNKNOWN
    return OK if ok else NONE


def runs_of(ticks: bytes) -> list[tuple[int, int, int]]:
    """Give (code, first, how many) of equal ticks in a row."""
    found: list[tuple[int, int, int]] = []
    for position, code in enumerate(ticks):
        if found and found[-1][0] == code:
            found[-1] = (code, found[-1][1], found[-1][2] + 1)
        else:
            found.append((code, position, 1))
    return found


_LINE = Markup('<path class="{}" d="{}"/>')
_BAR = Markup(
    '<svg class="bar{}" viewBox="0 0 {} 22" preserveAspectRatio="none" role="img" aria-label="{}" '
    'data-ticks="{}">{}</svg>'
)


def draw(ticks: bytes, label: str, *, tall: bool = False) -> Markup:
    """Draw ticks: one dashed line for each state, so that a healthy bar is one short path."""
    lines: dict[int, list[str]] = {}
    for code, first, length in runs_of(ticks):
        lines.setdefault(code, []).append(f"M{first * 4} 11h{length * 4}")
    paths = Markup("").join(
        _LINE.format(CLASSES[code], "".join(moves)) for code, moves in sorted(lines.items())
    )
    return _BAR.format(" tall" if tall else "", len(ticks) * 4 - 1, label, "".join(map(str, ticks)), paths)


def describe(ticks: bytes, window: str, uptime: float | None) -> str:
    """Say a bar in words, for those who do not see it."""
    failing = sum(1 for code, _, _ in runs_of(ticks) if code == FAIL)
    words = [f"last {window}"]
    if uptime is not None:
        words.append(f"{share(uptime)} of answers good")
    words.append(
        "never failing" if not failing else "failing once" if failing == 1 else f"failing {failing} times"
    )
    if UNKNOWN in ticks:
        words.append("partly unknown")
    return ", ".join(words)
