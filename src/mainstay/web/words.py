"""How moments, spans and figures are written for people."""

from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from mainstay.core.units import format_size

NONE = "\u2013"
"""What stands where there is nothing to say."""
_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (float("inf"), 86400, "d"))


def span(seconds: float | None) -> str:
    """Write a span with two units at most: `84 ms`, `3.3 s`, `4 min 12 s`, `6 h 10 min`, `3 d 4 h`."""
    if seconds is None:
        return NONE
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 86400:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86400, "d", 3600, "h")


def _two(seconds: int, size: int, unit: str, below: int, low: str) -> str:
    big, rest = divmod(seconds, size)
    return f"{big} {unit} {rest // below} {low}" if rest // below else f"{big} {unit}"


def rough(seconds: float) -> str:
    """Write a span with one unit: `12 s`, `4 min`, `6 h`, `3 d`."""
    seconds = max(0.0, seconds)
    for below, size, unit in _STEPS:
        if seconds < below:
            return f"{int(seconds // size)} {unit}"
    raise AssertionError("unreachable")


def ago(seconds: float) -> str:
    """Say how long ago something was, or how far off it is: `now`, `6 h ago`, `in 3 h`."""
    if abs(seconds) < 1.5:
        return "now"
    return f"{rough(seconds)} ago" if seconds > 0 else f"in {rough(-seconds)}"


def latency(seconds: float | None) -> str:
    """Write a latency: `84 ms`, `1.2 s`."""
    if seconds is None:
        return NONE
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def per_second(rate: float | None) -> str:
    """Write a rate: `0`, `0.3/s`, `12/s`, `1,240/s`."""
    if rate is None:
        return NONE
    if rate == 0:
        return "0"
    if rate < 0.01:
        return "<0.01/s"
    return f"{rate:.2g}/s" if rate < 10 else f"{rate:,.0f}/s"


def count(number: float | None) -> str:
    """Write a count with commas between thousands."""
    return NONE if number is None else f"{int(number):,}"


def size(number: float | None) -> str:
    """Write a size in bytes."""
    return NONE if number is None else format_size(number)


def share(part: float | None) -> str:
    """Write a share of one in percent; only what is whole is written `100 %`."""
    if part is None:
        return NONE
    percent = part * 100
    if percent >= 100:
        return "100 %"
    if percent > 99.99:
        return "99.99 %"
    return f"{percent:.2f} %" if percent >= 99 else f"{percent:.1f} %"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun: `1 service`, `3 services`."""
    return f"{number} {one}" if number == 1 else f"{count(number)} {many or one + 's'}"


def sentence(text: str) -> str:
    """Write a detail as a sentence: with a capital, unless it begins with an address."""
    first = text.partition(" ")[0]
    return text if "://" in first or "." in first.rstrip(".") or "/" in first else text[:1].upper() + text[1:]


def listed(names: list[str]) -> str:
    """Write names as in a sentence, three at most: `api, web and 4 more`."""
    if len(names) <= 3:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"


_TIME = Markup('<time datetime="{}" title="{}">{}</time>')
_AGO = Markup('<time datetime="{}" title="{}" data-ago>{}</time>')


class Moments:
    """Writes moments in one time zone, seen from `now` (seconds since 1970)."""

    def __init__(self, now: float, timezone: str) -> None:
        self.now = now
        self.zone = ZoneInfo(timezone)

    def _at(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self.zone)

    def full(self, at: float) -> str:
        """`Sun 22 Nov 2026, 14:03:22 PST`."""
        return f"{self._at(at):%a %-d %b %Y, %H:%M:%S %Z}"

    def short(self, at: float) -> str:
        """`14:03:22` today, `Sat 21 Nov, 14:03` within months, `21 Nov 2025` before."""
        moment, today = self._at(at), self._at(self.now)
        if moment.date() == today.date():
            return f"{moment:%H:%M:%S}"
        if abs(at - self.now) < 300 * 86400:
            return f"{moment:%a %-d %b, %H:%M}"
        return f"{moment:%-d %b %Y}"

    def clock(self, at: float) -> str:
        """`14:03:22`."""
        return f"{self._at(at):%H:%M:%S}"

    def date(self, at: float) -> str:
        """`Sun 22 Nov 2026`."""
        return f"{self._at(at):%a %-d %b %Y}"

    def hour(self, at: float) -> str:
        """`14:03`, for axes."""
        return f"{self._at(at):%H:%M}"

    def day(self, at: float) -> str:
        """`21 Nov`, for axes."""
        return f"{self._at(at):%-d %b}"

    def iso(self, at: float) -> str:
        """The moment for machines (RFC 3339)."""
        return self._at(at).isoformat(timespec="seconds")

    def tag(self, at: float | None, style: str = "ago") -> Markup:
        """Write a `time` element: `ago`, `short` or `clock`; the full moment is its tooltip."""
        if at is None:
            return Markup.escape(NONE)
        text = ago(self.now - at) if style == "ago" else getattr(self, style)(at)
        form = _AGO if style == "ago" else _TIME
        return form.format(self.iso(at), self.full(at), text)
