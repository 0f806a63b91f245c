"""Asks one check and judges its answer, so that a red light is a fact."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mainstay.core.check import Answer, Check, ResolveError, Result, Verdict
from mainstay.core.errors import MainstayError
from mainstay.core.secret import redact
from mainstay.core.units import format_duration
from mainstay.engine.guard import Horizon, Pulse, agree, answer_to, known_already, timed_out
from mainstay.ports.clock import Clock
from mainstay.ports.place import LocalPlace

log = logging.getLogger(__name__)

GRACE = 0.25
"""Seconds that a probe has to give up by itself, with a better sentence than ours, after its time-out."""
ATTEMPTS = 3
LONGEST_DETAIL = 500
MOST_WITNESSES = 5
INQUIRY_HOLDS = 3.0
"""Seconds for which what the witnesses said is believed."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A check with its place in the configuration. `id` is `SERVICE/NAME` and never changes for one check."""

    id: str
    service: str
    check: Check


Emit = Callable[[Result], None]


class Asker:
    """Puts questions, at most `concurrency` at a time, and looks twice before it says anything bad.

    `all_watched` gives the checks which may be asked as witnesses when our own network is suspect.
    """

    def __init__(
        self,
        clock: Clock,
        place: LocalPlace,
        *,
        confirm_after: float,
        concurrency: int,
        all_watched: Callable[[], Iterable[Watched]],
    ) -> None:
        self._clock = clock
        self._place = place
        self._fresh = place.fresh()
        self._confirm_after = confirm_after
        self._slots = asyncio.Semaphore(concurrency)
        self._all_watched = all_watched
        self._pulse = Pulse(clock)
        self._horizon = Horizon()
        self._inquiry = asyncio.Lock()
        self._inquired_at = -math.inf
        self._nobody_answers = False

    async def ask(self, watched: Watched, previous: Verdict | None, emit: Emit) -> Result:
        """Ask until two looks agree; every look is emitted, the last one is returned.

        What was known already is taken at once. Every other verdict, bad or good, is emitted unconfirmed and looked at
        again on a fresh connection, `confirm_after` seconds after the first look began.
        """
        found = await self._look(watched, self._place)
        if known_already(previous, found.verdict):
            return self._say(found, emit, confirmed=True)
        for _ in range(ATTEMPTS - 1):
            self._say(found, emit, confirmed=False)
            await self._clock.sleep(self._confirm_after - (found.latency or 0.0))
            again = await self._look(watched, self._fresh)
            if again.verdict is Verdict.FAIL and await self._network_lost():
                again = _lost(again)
            if agree(found.verdict, again.verdict) or known_already(previous, again.verdict):
                return self._say(again, emit, confirmed=True)
            found = again
        return self._say(found, emit, confirmed=False)

    def _say(self, result: Result, emit: Emit, *, confirmed: bool) -> Result:
        said = result if confirmed else replace(result, confirmed=False)
        emit(said)
        return said

    async def _look(self, watched: Watched, place: LocalPlace) -> Result:
        answer, latency = await self._undisturbed(watched.check, place)
        self._horizon.note(watched.check.host(), answer)
        return Result(
            check=watched.id,
            service=watched.service,
            verdict=answer.verdict,
            detail=_short(redact(answer.detail)),
            at=place.now(),
            latency=latency,
            place=place.name,
            confirmed=True,
            facts=answer.facts,
        )

    async def _undisturbed(self, check: Check, place: LocalPlace) -> tuple[Answer, float | None]:
        """Ask until this process did not stand still meanwhile. A good answer counts all the same, its latency not."""
        lost = 0.0
        for _ in range(ATTEMPTS):
            async with self._slots:
                with self._clock.busy(), self._pulse.listen() as span:
                    began = self._clock.monotonic()
                    answer = await _answer(check, place)
                    latency = self._clock.monotonic() - began
            lost = span.lost
            if not lost:
                return answer, latency
            if answer.verdict is Verdict.OK:
                return answer, None
        return Answer.unknown(
            f"could not judge: mainstay itself stood still for {format_duration(lost)}", cause="own"
        ), None

    async def _network_lost(self) -> bool:
        """Ask the hosts that answered last whether they still do, when too many others do not."""
        if not self._horizon.suspect:
            return False
        async with self._inquiry:
            if self._clock.monotonic() - self._inquired_at > INQUIRY_HOLDS:
                await asyncio.gather(*(self._testify(watched) for watched in self._witnesses()))
                self._inquired_at = self._clock.monotonic()
                self._nobody_answers = self._horizon.suspect
            return self._nobody_answers

    def _witnesses(self) -> list[Watched]:
        by_host = {watched.check.host(): watched for watched in self._all_watched()}
        called = [by_host[host] for host in self._horizon.witnesses() if host in by_host]
        return called[:MOST_WITNESSES]

    async def _testify(self, watched: Watched) -> None:
        answer, _ = await self._undisturbed(watched.check, self._fresh)
        self._horizon.note(watched.check.host(), answer)


async def _answer(check: Check, place: LocalPlace) -> Answer:
    """Ask once, whatever happens. A fault of the check itself is never the service's."""
    try:
        async with asyncio.timeout(check.timeout + GRACE):
            return await check.probe(place)
    except TimeoutError:
        return timed_out(check.timeout)
    except (ResolveError, OSError) as fault:
        return answer_to(fault, check.target())
    except MainstayError as fault:
        return Answer.unknown(str(fault), cause="own")
    except Exception as fault:
        log.exception("the check %s broke", check.target())
        return Answer.unknown(f"the check itself broke: {type(fault).__name__}: {fault}", cause="own")


def _lost(result: Result) -> Result:
    detail = (
        f"could not judge: no host answers, so this machine's own network seems to be lost ({result.detail})"
    )
    return replace(result, verdict=Verdict.UNKNOWN, detail=_short(detail), facts={"cause": "own"})


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_DETAIL else text[: LONGEST_DETAIL - 1] + "…"
