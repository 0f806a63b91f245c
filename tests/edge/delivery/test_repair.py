"""Gap repair: exactly what is missing is fetched, once, from senders that page, limit and refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mainstay.core.ids import first_id
from mainstay.core.incident import IncidentState
from mainstay.core.secret import Secret
from mainstay.edge.delivery.repair.auto import Repairer
from mainstay.edge.delivery.repair.github import GitHubRepair
from mainstay.edge.delivery.repair.shopify import ShopifyRepair
from mainstay.edge.delivery.repair.stripe import StripeRepair
from mainstay.edge.delivery.repair.wire import Page, RepairError, link
from mainstay.edge.delivery.repair.work import Repaired, repair_gap
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.inbox.source import Source
from mainstay.edge.schemes.base import Delivery, Headers, Scheme, Verified
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox, inbox_delivery, views
from mainstay.store.base import Store
from mainstay.store.inbox_delivery import Event
from tests.edge.delivery.parcels import tools
from tests.edge.delivery.post import desk_of, passing, told
from tests.edge.delivery.senders import HOOK, TOKEN, Senders, senders

SECRET = Secret("hook", "shared-with-the-sender")
GITHUB = IntakeSettings(scheme=Scheme.registry["github"](), secrets=[SECRET])
STRIPE = IntakeSettings(scheme=Scheme.registry["stripe"](), secrets=[SECRET], order_by="body:data.object.id")
SHOPIFY = IntakeSettings(scheme=Scheme.registry["shopify"](), secrets=[SECRET])


@pytest.fixture
async def sender() -> AsyncIterator[Senders]:
    async with senders() as made:
        yield made


def github(sender: Senders, **options: Any) -> GitHubRepair:
    return GitHubRepair(hook=HOOK, token=Secret("token", TOKEN), api=sender.url, **options)


def stripe(sender: Senders, **options: Any) -> StripeRepair:
    return StripeRepair(key=Secret("token", TOKEN), api=sender.url, **options)


def shopify(sender: Senders, **options: Any) -> ShopifyRepair:
    shop = sender.url.removeprefix("http://")
    return ShopifyRepair(shop=shop, token=Secret("token", TOKEN), insecure=True, **options)


async def came(
    store: Store, clock: FakeClock, name: str, settings: IntakeSettings, delivery: Delivery
) -> None:
    """An event comes in as usual."""
    source = Source(name, settings)
    arrival = source.arrival(
        delivery, Verified("hook"), clock.now(), f"{first_id(clock.now())[:10]}{len(await events(store)):016}"
    )
    arrival.headers = "[]"  # the import of the log writes them
    await store.write(lambda tx: inbox.put_many(tx, [arrival]))


async def events(store: Store) -> list[Event]:
    """What is in the inbox, in the order in which it will be delivered."""
    lines = await store.read(lambda tx: inbox_delivery.find(tx, limit=1000))
    found = [await store.read(lambda tx, one=line.id: inbox_delivery.get(tx, one)) for line in lines]  # type: ignore[misc]
    return [event for event in found if event is not None][::-1]


async def gap(
    store: Store,
    clock: FakeClock,
    settings: IntakeSettings,
    repair: Any,
    ago: float = 3600.0,
    *,
    dry: bool = False,
) -> Repaired:
    """Repair what was missed within the hour."""
    return await repair_gap(store, tools(clock), "it", settings, repair, clock.now() - ago, dry=dry)


def push(number: int) -> Delivery:
    headers = [("X-GitHub-Delivery", f"guid-{number}"), ("X-GitHub-Event", "push")]
    return Delivery("POST", "/it", "", Headers.of(headers), b"{}", "192.0.2.1", "")


async def test_github_gives_what_it_could_not_deliver(
    store: Store, clock: FakeClock, sender: Senders
) -> None:
    for number in range(8):
        sender.pushed(number, clock.now() - 4000 + number * 500)
    sender.pushed(7, clock.now() - 400)  # tried again by hand: the same guid
    await came(store, clock, "it", GITHUB, push(3))
    dry = await gap(store, clock, GITHUB, github(sender), dry=True)
    assert ([key for key, _, _ in dry.missing], dry.added) == (
        ["guid-1", "guid-2", "guid-4", "guid-5", "guid-6", "guid-7"],
        [],
    )
    assert len(await events(store)) == 1
    done = await gap(store, clock, GITHUB, github(sender))
    assert len(done.added) == 6
    found = (await events(store))[1:]
    assert [event.event_id for event in found] == [key for key, _, _ in done.missing]
    first = found[0]
    assert (first.event_type, first.peer, first.secret, first.state) == ("push", "repair", None, "queued")
    assert json.loads(first.body) == {"ref": "refs/heads/main", "number": 1, "who": "José"}
    request = Delivery("POST", "/it", "", Headers.of((n, v) for n, v in first.headers), first.body, "", "")
    assert isinstance(GITHUB.scheme.verify(request, [SECRET], clock.now()), Verified)
    again = await gap(store, clock, GITHUB, github(sender))
    assert (again.missing, again.added) == ([], [])


async def test_stripe_gives_its_events_page_by_page(store: Store, clock: FakeClock, sender: Senders) -> None:
    for number in range(10):
        sender.paid(
            number, clock.now() - 3000 + number * 10, "invoice.paid" if number % 2 else "charge.failed"
        )
    sender.paid(99, clock.now() - 9000)
    body = json.dumps(sender.stripe[5]).encode()
    await came(store, clock, "it", STRIPE, Delivery("POST", "/it", "", Headers(), body, "", ""))
    done = await gap(store, clock, STRIPE, stripe(sender, types=["invoice.paid"]))
    assert [key for key, _, _ in done.missing] == ["evt_1", "evt_3", "evt_7", "evt_9"]
    assert len(sender.asked) == 2
    found = (await events(store))[1:]
    assert (found[0].event_id, found[0].event_type) == ("evt_1", "invoice.paid")
    assert found[0].order_key == "in_1"
    assert b'\n  "id": "evt_1"' in found[0].body
    assert (await gap(store, clock, STRIPE, stripe(sender))).seen == 10
    assert len(await events(store)) == 10


async def test_a_page_that_comes_in_many_pieces_is_read_to_its_end(
    store: Store, clock: FakeClock, sender: Senders
) -> None:
    sender.page = 100
    for number in range(100):
        sender.paid(number, clock.now() - 3000 + number)
        sender.stripe[0]["data"]["padding"] = "x" * 10_000
        if number < 70:  # more than are looked through at a time
            body = json.dumps(sender.stripe[0]).encode()
            await came(store, clock, "it", STRIPE, Delivery("POST", "/it", "", Headers(), body, "", ""))
    assert len((await gap(store, clock, STRIPE, stripe(sender))).added) == 30


@pytest.mark.parametrize("document", [[{}], [1], [{"delivered_at": "soon"}], [{"delivered_at": None}], {}, 7])
async def test_an_api_that_says_something_else_is_no_end_of_all_repairs(
    store: Store, clock: FakeClock, sender: Senders, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd(self: object, *asked: object) -> Page:
        return Page(document, None)

    monkeypatch.setattr("mainstay.edge.delivery.repair.wire.Wire.get", odd)
    with pytest.raises(RepairError, match=r"(?i)github gave something"):
        await gap(store, clock, GITHUB, github(sender))


async def test_shopify_gives_what_was_changed(store: Store, clock: FakeClock, sender: Senders) -> None:
    now = clock.now()
    for number in range(5):
        sender.changed("orders", number, now - (9000 if number % 2 else 1800), now - 600 + number)
    sender.changed("products", 1, now - 9000, now - 60)
    sender.changed("orders", 77, now - 9000, now - 8000)
    known = json.dumps(sender.shopify["orders"][2]).encode()
    headers = Headers.of([("X-Shopify-Topic", "orders/create"), ("X-Shopify-Event-Id", "their-own")])
    await came(store, clock, "it", SHOPIFY, Delivery("POST", "/it", "", headers, known, "", ""))
    repair = shopify(sender, resources=["orders", "products"])
    done = await gap(store, clock, SHOPIFY, repair)
    found = (await events(store))[1:]
    assert [(event.event_type, json.loads(event.body)["id"]) for event in found] == [
        ("orders/create", 0), ("orders/updated", 1), ("orders/updated", 3), ("orders/create", 4),
        ("products/updated", 1),
    ]  # fmt: skip
    assert len(done.added) == 5
    assert (await gap(store, clock, SHOPIFY, repair)).missing == []
    one = sender.shopify["orders"][0]
    one["updated_at"] = sender.shopify["products"][0]["updated_at"]
    assert len((await gap(store, clock, SHOPIFY, repair)).added) == 1


@pytest.mark.parametrize(
    ("before", "waits"),
    [
        ([(429, {"Retry-After": "30"})], 30.0),
        ([(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1780000060"})], 60.0),
        ([(429, {})], 2.0),
        ([(502, {}), (503, {})], 3.0),
    ],
)
async def test_limits_and_hiccups_are_waited_out(
    store: Store, clock: FakeClock, sender: Senders, before: list[tuple[int, dict[str, str]]], waits: float
) -> None:
    sender.pushed(1, clock.now() - 100)
    sender.before = list(before)
    began = clock.now()
    task = asyncio.create_task(gap(store, clock, GITHUB, github(sender)))
    while not task.done():
        await clock.advance(1.0)
    assert len(task.result().added) == 1
    assert waits <= clock.now() - began <= waits + 5


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ([(401, {})], "github refuses the token"),
        ([(404, {})], "does not know what is asked for"),
        ([(302, {"Location": "http://elsewhere.example/"})], "answered 302"),
        ([(429, {"Retry-After": "99999"})], "lets nobody ask for another 99999 s"),
        ([(500, {})] * 6, "answered 500 6 times"),
    ],
)
async def test_what_cannot_be_asked_is_told_without_the_token(
    store: Store, clock: FakeClock, sender: Senders, before: list[tuple[int, dict[str, str]]], words: str
) -> None:
    sender.before = list(before)
    task = asyncio.create_task(gap(store, clock, GITHUB, github(sender)))
    while not task.done():
        await clock.advance(10.0)
    with pytest.raises(RepairError, match=words) as fault:
        task.result()
    assert TOKEN not in str(fault.value)


async def test_a_sender_that_is_not_there_is_told(store: Store, clock: FakeClock) -> None:
    async with senders() as gone:
        repair = github(gone)
    with pytest.raises(RepairError, match="github cannot be reached: Connection refused"):
        await gap(store, clock, GITHUB, repair)


def test_a_token_never_goes_to_another_host() -> None:
    asked = "https://api.github.com/x"
    assert (
        link('<https://api.github.com/y?a=1>; rel="next", <https://b/>; rel="last"', asked)
        == "https://api.github.com/y?a=1"
    )
    assert link('<https://api.github.com/y>; rel="prev"', asked) is None
    assert link(None, asked) is None
    for elsewhere in ("https://evil.example/", "http://api.github.com/y"):
        with pytest.raises(RepairError, match="another host"):
            link(f'<{elsewhere}>; rel="next"', asked)


async def test_it_is_done_by_itself_from_where_it_was_last_done(
    store: Store, clock: FakeClock, sender: Senders
) -> None:
    repair = github(sender, auto=True, every=60.0)
    repairer = Repairer(store, tools(clock), {"it": (GITHUB, repair)}, desk_of(clock))
    assert await repairer.once("it") == 0
    assert sender.asked == []  # there is no last time yet
    await clock.advance(7200)
    sender.pushed(1, clock.now() - 3600)
    assert await repairer.once("it") == 1
    assert await repairer.once("it") == 0
    notes = await store.read(views.audit)
    assert [(row["who"], row["action"], row["target"]) for row in notes] == [
        ("mainstay", "inbox.repair", "it")
    ]


async def test_people_are_told_when_it_fails_again_and_again(
    store: Store, clock: FakeClock, sender: Senders
) -> None:
    repair = github(sender, auto=True, every=60.0)
    repairer = Repairer(store, tools(clock), {"it": (GITHUB, repair)}, desk_of(clock))
    await repairer.once("it")
    sender.before = [(401, {})] * 4
    task = asyncio.create_task(repairer.serve())
    await passing(clock, 90)
    assert await told(store) == []
    await passing(clock, 60)
    (incident,) = await told(store)
    assert (incident.key, incident.detail) == ("repair:it", "github refuses the token (401)")
    await passing(clock, 150)
    (incident,) = await told(store)
    assert incident.state is IncidentState.RESOLVED
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
