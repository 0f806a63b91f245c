"""From the vendors' libraries over the wire, through the edge, into the journal: not a byte is another."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from mainstay.cli.entry import run
from mainstay.config.load import load
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.schemes.none import Nothing
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox_delivery
from mainstay.store.inbox_delivery import Event
from tests.edge.inbox.house import house
from tests.edge.inbox.sender import Answer, Sender, request
from tests.edge.schemes.senders import BODIES, NOW, URL, VENDORS, Sent, certified, scheme_of
from tests.journals import Journal, sqlite_journal
from tests.servers.process import free_port


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return sqlite_journal(tmp_path)


def sources() -> dict[str, IntakeSettings]:
    return {
        name: IntakeSettings(
            scheme=scheme_of(name), secrets=vendor.configured(), url=URL, dedup_by="body", check_json=False
        )
        for name, vendor in VENDORS.items()
    }


async def deliver(sender: Sender, name: str, sent: Sent) -> Answer:
    query = sent.url.partition("?")[2]
    target = f"/{name}?{query}" if query else f"/{name}"
    return await sender.raw(request(target, sent.body, sent.headers.items()))


async def kept(journal: Journal) -> dict[str, Event]:
    async with journal.opened() as store:
        lines = await store.read(lambda tx: inbox_delivery.find(tx, limit=1000))
        events = await store.read(lambda tx: [inbox_delivery.get(tx, line.id) for line in lines])
    return {event.id: event for event in events if event}


async def test_every_vendors_odd_bodies_arrive_as_they_are(journal: Journal, tmp_path: Path) -> None:
    arrived: dict[str, tuple[str, Sent]] = {}
    async with house(journal.url, tmp_path, sources(), FakeClock(NOW)) as edge:
        sender = edge.sender()
        for name, vendor in VENDORS.items():
            for body in BODIES:
                sent = vendor.sent(body)
                answer = await deliver(sender, name, sent)
                assert answer.status == 202, (name, body, answer)
                arrived[answer.id] = name, sent
            copy = await deliver(sender, name, sent)
            assert (copy.status, copy.id) == (200, answer.id)
    found = await kept(journal)
    assert found.keys() == arrived.keys()
    for key, (name, sent) in arrived.items():
        assert (found[key].source, found[key].body, found[key].secret) == (name, sent.body, "hook_1")


async def test_every_forgery_is_refused_and_none_is_kept(journal: Journal, tmp_path: Path) -> None:
    async with house(journal.url, tmp_path, sources(), FakeClock(NOW)) as edge:
        sender = edge.sender()
        for name, vendor in VENDORS.items():
            for forged in (vendor.send(BODIES[0], strangers(name), NOW), Sent({}, BODIES[0])):
                assert (await deliver(sender, name, forged)).status == 401, name
        for one, other in (("stripe", "paymongo"), ("github", "shopify"), ("slack", "zoom")):
            sent = VENDORS[one].sent(BODIES[0])
            assert (await deliver(sender, other, sent)).status == 401
    assert await kept(journal) == {}


def strangers(name: str) -> str:
    """What somebody else would sign with."""
    shared = "whsec_bm90IGEgc2VjcmV0IG9mIGl0"
    others = {"discord": "33" * 32, "sendgrid": "555555555", "svix": shared, "standard_webhooks": shared}
    return certified()[1] if name == "paypal" else others.get(name, "not a secret of it")


async def test_handshakes_are_answered_and_not_kept(journal: Journal, tmp_path: Path) -> None:
    asked = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    async with house(journal.url, tmp_path, sources(), FakeClock(NOW)) as edge:
        sender = edge.sender()
        slack = VENDORS["slack"].sent(b'{"type":"url_verification","challenge":"3eZbrw1a"}')
        answer = await deliver(sender, "slack", slack)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (
            200,
            b"3eZbrw1a",
            "text/plain",
        )
        discord = VENDORS["discord"].sent(b'{"type":0}')
        assert (await deliver(sender, "discord", discord)).status == 204
        for target, status, body in (
            (f"/meta?{asked}my%20token", 200, b"1158201444"),
            (f"/meta?{asked}another", 403, b""),
            ("/dropbox?challenge=abc", 200, b"abc"),
        ):
            answer = await sender.raw(request(target, b"", [], "GET"))
            assert answer.status == status
            assert answer.body == body or status == 403
        assert (await sender.raw(request("/github", b"", [], "GET"))).status == 405
        ping = request("/woocommerce", b"webhook_id=1", [])
        assert (await sender.raw(ping)).status == 200
    assert await kept(journal) == {}


CONFIG = """
name: shop
state_dir: state
edge: {{webhooks: 127.0.0.1:{port}}}
webhooks:
"""


async def test_test_events_are_taken_and_spoiled_ones_refused(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, file = free_port(), tmp_path / "mainstay.yaml"
    names = sorted(name for name, vendor in VENDORS.items() if not vendor.keys)
    monkeypatch.setenv("MAINSTAY_SECRET", "a shared secret")
    monkeypatch.setenv("MAINSTAY_MAIN_SVIX", VENDORS["svix"].secrets[1])
    monkeypatch.chdir(tmp_path)
    text = CONFIG.format(port=port)
    for name in names:
        options = {"meta": {"verify_token": {"secret": "secret"}}, "basic": {"username": "me"}}.get(name, {})
        secret = "main_svix" if name in ("svix", "standard_webhooks") else "secret"
        text += f"  {name}: {json.dumps({'scheme': {name: options}, 'secrets': [{'secret': secret}]})}\n"
    file.write_text(text)
    settings = load(file, secrets=True).webhooks
    async with house(journal.url, tmp_path, settings, port=port) as edge:
        for name in names:
            code = await asyncio.to_thread(run, ["webhook", "send", name])
            assert (code, "answered 202" in capsys.readouterr().out) == (0, True), name
            code = await asyncio.to_thread(run, ["webhook", "send", name, "--bad"])
            assert (code, "answered 401" in capsys.readouterr().out) == (0, True), name
        assert edge.intake.counts.count("stripe", "queued") == 1
    assert sorted(event.source for event in (await kept(journal)).values()) == names


async def test_who_proves_nothing_is_let_in_by_address_alone(journal: Journal, tmp_path: Path) -> None:
    given = {
        name: IntakeSettings(scheme=Nothing(), allow_from=[ip_network(network)])
        for name, network in (("near", "127.0.0.0/8"), ("far", "192.0.2.0/24"))
    }
    async with house(journal.url, tmp_path, given, FakeClock(NOW)) as edge:
        assert (await edge.sender().send(source="near", secret=None)).status == 202
        assert (await edge.sender().send(source="far", secret=None)).status == 403
