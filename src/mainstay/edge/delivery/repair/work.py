"""One repair: what the sender says it sent and is not in the inbox is fetched, signed anew, and taken in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from mainstay.core.ids import first_id, new_id
from mainstay.edge.delivery.repair.base import Kept, Pairs, Repair, Sent
from mainstay.edge.delivery.repair.wire import RepairError, Wire
from mainstay.edge.delivery.targets.base import Tools
from mainstay.edge.delivery.targets.http import names
from mainstay.edge.inbox.headers import kept
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.inbox.source import Source
from mainstay.edge.schemes.base import CannotSign, Delivery, Headers, Verified
from mainstay.store import inbox, inbox_delivery
from mainstay.store.base import Store
from mainstay.store.inbox import Arrival

PEER = "repair"
"""What stands for the sender's address."""
OVERLAP = 600.0
"""Seconds before the moment in question in which an event may have come in, too: clocks differ."""
AT_ONCE = 50


@dataclass(slots=True)
class Repaired:
    """What a repair found. `missing` are (key, type, time) of what was not there, `added` the ids under which it is."""

    seen: int = 0
    missing: list[tuple[str, str, float]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


@asynccontextmanager
async def wire_to(tools: Tools, repair: Repair, who: str) -> AsyncIterator[Wire]:
    """Give somebody who asks the sender."""
    import aiohttp

    connector = aiohttp.TCPConnector(resolver=names(tools.resolve))
    limit = aiohttp.ClientTimeout(total=repair.timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=False) as session:
        yield Wire(session, tools.clock, who)


async def repair_gap(
    store: Store,
    tools: Tools,
    name: str,
    settings: IntakeSettings,
    repair: Repair,
    since: float,
    *,
    dry: bool = False,
) -> Repaired:
    """Repair one source's gap. Raises `RepairError`; what was added until then stays."""
    try:
        return await _repaired(store, tools, name, settings, repair, since, dry)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        # What a sender's API gives is looked into without asking at each step whether it is there.
        what = f"{repair.type_name} gave something that is not understood: {type(fault).__name__}"
        raise RepairError(what, hint="look at `repair`; what was fetched before stays") from fault


async def _repaired(
    store: Store, tools: Tools, name: str, settings: IntakeSettings, repair: Repair, since: float, dry: bool
) -> Repaired:
    done = Repaired()
    known = await _known(store, name, repair, since - OVERLAP)
    async with wire_to(tools, repair, repair.type_name) as wire:
        gone: dict[str, Sent] = {}
        async for sent in repair.sent(wire, since):
            done.seen += 1
            if sent.key not in known:
                gone.setdefault(sent.key, sent)
        # In the order in which they were sent: so they are delivered, too.
        missing = sorted(gone.values(), key=lambda sent: sent.at)
        done.missing = [(sent.key, sent.type, sent.at) for sent in missing]
        for start in range(0, 0 if dry else len(missing), AT_ONCE):
            loaded = [await sent.load() for sent in missing[start : start + AT_ONCE]]
            arrivals = [_arrival(name, settings, each, tools.clock.now()) for each in loaded]
            stored = await store.write(partial(inbox.put_many, arrivals=arrivals))
            done.added += [one.id for one in stored if one.new]
    return done


async def _known(store: Store, name: str, repair: Repair, since: float) -> set[str]:
    """Give what is in the inbox, looked through a few at a time: their bodies may be more than there is memory."""
    known: set[str] = set()
    first = first_id(since)
    while rows := await store.read(partial(inbox_delivery.since, source=name, first=first, limit=AT_ONCE)):
        known |= repair.keys(Kept(row["event_id"], row["event_type"], row["body"]) for row in rows)
        first = rows[-1]["id"] + "0"  # sorts right behind it
    return known


def _arrival(name: str, settings: IntakeSettings, loaded: tuple[Pairs, bytes], now: float) -> Arrival:
    """Make what is kept of a fetched event: as the intake would, signed anew, for its body may be written otherwise."""
    pairs, body = loaded
    request = Delivery(
        "POST", f"/{name}", "", Headers.of(_signed(settings, pairs, body, now)), body, PEER, ""
    )
    arrival = Source(name, settings).arrival(request, Verified(None), now, new_id(now))
    # It does not go through the log, whose import writes these.
    arrival.headers, arrival.user_agent = kept(arrival.lines)
    return arrival


def _signed(settings: IntakeSettings, pairs: Pairs, body: bytes, now: float) -> Pairs:
    if not settings.secrets or not settings.secrets[0].resolved:
        return pairs
    try:
        made = settings.scheme.sign(body, settings.secrets[0], now)
    except CannotSign:
        return pairs
    anew = {header.lower() for header, _ in made}
    return (*((header, value) for header, value in pairs if header.lower() not in anew), *made)
