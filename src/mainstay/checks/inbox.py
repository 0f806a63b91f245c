"""Are webhooks delivered?"""

from typing import ClassVar

from mainstay.core.check import Answer, Check, Place
from mainstay.core.errors import JournalError
from mainstay.core.units import Duration, format_duration
from mainstay.store import inbox_delivery
from mainstay.store.inbox import DEAD, KEPT
from mainstay.store.inbox_delivery import Standing


class InboxCheck(Check, type="inbox", shorthand="source"):
    """Looks how long the oldest webhook waits that is not delivered. Facts: `waiting`, `age` in seconds, `dead`,
    `kept`.

    Dead letters are not waiting: they have an incident of their own. Neither is what nobody is to be brought.
    """

    cured_by_restart: ClassVar[bool] = False
    source: str | None = None
    """The source, by its name under `webhooks:`; all of them when left out."""
    warn: Duration = 300.0
    """An older one is a warning."""
    fail: Duration = 3600.0
    """A still older one is a failure."""

    def target(self) -> str:
        return self.source or "every source"

    async def probe(self, place: Place) -> Answer:
        try:
            stands = await place.read(inbox_delivery.stats)
        except (LookupError, JournalError) as fault:
            return Answer.unknown(f"the inbox cannot be looked at: {fault}", cause="own")
        mine = [one for one in stands if self.source in (None, one.source)]
        return self._judge(mine, place.now())

    def _judge(self, stands: list[Standing], now: float) -> Answer:
        waiting = [one for one in stands if one.waits]
        facts = {
            "waiting": sum(one.events for one in waiting),
            "dead": sum(one.events for one in stands if one.state == DEAD),
            "kept": sum(one.events for one in stands if one.state == KEPT),
            "age": max((max(0.0, now - one.oldest_at) for one in waiting), default=0.0),
        }
        if not waiting:
            kept = f"none waits; {facts['kept']} are kept, to be brought to nobody"
            return Answer.ok(kept if facts["kept"] else "every webhook is delivered", **facts)
        oldest = format_duration(facts["age"])
        detail = f"{facts['waiting']} waiting, the oldest for {oldest}"
        if facts["age"] > self.fail:
            return Answer.fail(detail, cause="answer", **facts)
        return Answer.warn(detail, **facts) if facts["age"] > self.warn else Answer.ok(detail, **facts)
