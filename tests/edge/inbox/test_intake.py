"""What senders are answered, and that nothing is kept of what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.secret import Secret
from mainstay.edge.inbox.headers import MASKED
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.schemes.bearer import Bearer
from mainstay.edge.schemes.hmac import HmacScheme
from mainstay.edge.schemes.slack import Slack
from mainstay.edge.webhooks import WebhookSettings
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox
from mainstay.store.inbox_delivery import Event
from tests.edge.inbox.house import BY_ID, SECRETS, House, house, sources
from tests.edge.inbox.ledger import everything, imported
from tests.edge.inbox.sender import OLD, SECRET, Sender, request, signature
from tests.helpers import aeventually
from tests.journals import Journal, sqlite_journal

JSON = ("Content-Type", "application/json")
AWKWARD = {
    "spaces": b'{ "a" :  1 }',
    "a whole float": b'{"a": 10.0}',
    "an exponent": b'{"a": 1e2}',
    "escapes": rb'{"a": "\u00e9"}',
    "an escaped slash": rb'{"a": "x\/y"}',
    "2^53+1": b'{"a": 9007199254740993}',
    "integer-like keys": b'{"2": 1, "1": 2}',
    "duplicate keys": b'{"amount": 1, "amount": 999}',
    "a trailing newline": b'{"a": 1}\n',
    "not UTF-8": b"\xff\xfe\x00binary\r\n\r\n",
    "nothing": b"",
}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return sqlite_journal(tmp_path)


@pytest.fixture
async def edge(journal: Journal, tmp_path: Path) -> AsyncIterator[House]:
    async with house(journal.url, tmp_path) as opened:
        yield opened


def with_source(journal: Journal, tmp_path: Path, **options: Any) -> AbstractAsyncContextManager[House]:
    """An edge whose bank has options of its own."""
    given: dict[str, Any] = {"scheme": BY_ID, "secrets": SECRETS} | options
    return house(journal.url, tmp_path, {**sources(), "bank": IntakeSettings(**given)})


async def events(journal: Journal) -> list[Event]:
    """Everything that was kept, the first one first."""
    assert journal.path is not None
    async with journal.opened() as store:
        await imported(store, journal.path.parent)
        return await store.read(everything)


async def test_what_nobody_takes_is_kept_from_the_start(journal: Journal, tmp_path: Path) -> None:
    given: dict[str, Any] = {"scheme": BY_ID, "secrets": SECRETS}
    taken = WebhookSettings.model_validate({**given, "deliver_to": "http://127.0.0.1:9/"})
    async with house(journal.url, tmp_path, {"kept": WebhookSettings(**given), "taken": taken}) as edge:
        for source in ("kept", "taken"):
            assert (await edge.sender().send(b"{}", source=source)).status == 202
    assert sorted((one.source, one.state) for one in await events(journal)) == [
        ("kept", "kept"),
        ("taken", "queued"),
    ]


async def test_an_event_is_queued_and_its_id_names_it(edge: House, journal: Journal) -> None:
    sent = (
        ("User-Agent", "Bank/1.0"),
        ("X-Event-Id", "evt_1"),
        ("X-Event-Type", "paid"),
        ("X-Odd", "é"),
        JSON,
    )
    answer = await edge.sender().send(b'{"a": 1}', *sent)
    assert (answer.status, answer.json) == (202, {"status": "queued", "id": answer.id})
    assert answer.headers["content-type"] == "application/json"
    (event,) = await events(journal)
    assert (event.id, event.source, event.state, event.body) == (answer.id, "bank", "queued", b'{"a": 1}')
    assert (event.event_id, event.event_type, event.secret) == ("evt_1", "paid", "new")
    assert (event.peer, event.user_agent, event.conflict_of) == ("127.0.0.1", "Bank/1.0", None)
    assert event.digest == hashlib.sha256(b'{"a": 1}').hexdigest()
    assert event.headers == [
        ["host", "hooks.example.com"],
        *[[name.lower(), value] for name, value in (*sent, signature(b'{"a": 1}'))],
        ["content-length", "8"],
    ]


@pytest.mark.parametrize("body", AWKWARD.values(), ids=AWKWARD)
async def test_bytes_are_judged_and_kept_as_they_came(edge: House, journal: Journal, body: bytes) -> None:
    assert (await edge.sender().send(body)).status == 202
    (event,) = await events(journal)
    assert event.body == body


async def test_a_body_in_chunks_and_in_drops_is_the_same(edge: House, journal: Journal) -> None:
    body = b'{"a": "' + b"x" * 100 + b'"}'
    sender = edge.sender()
    head = request("/bank", b"", [signature(body), ("Transfer-Encoding", "chunked")], length=False)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:1], body[1:50], body[50:]))
    assert (await sender.raw(head + chunks + b"0\r\n\r\n")).status == 202
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    for byte in request("/bank", body, [signature(body)]):
        writer.write(bytes([byte]))
        await writer.drain()
    assert b" 200 OK" in await reader.readline()  # a copy, by its body
    writer.close()
    assert [event.body for event in await events(journal)] == [body]


@pytest.mark.parametrize(
    "target", ["/", "/nobody", "/bank/", "/bank/x", "//bank", "/Bank", "/%62ank", "/bank;x"]
)
async def test_only_the_exact_path_of_a_source_is_one(edge: House, journal: Journal, target: str) -> None:
    assert (await edge.sender().send(target=target)).status == 404
    assert await events(journal) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_told_which_one_is_right(edge: House, method: str) -> None:
    answer = await edge.sender().send(method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "signed",
    [
        [],
        [signature(b"{} ")],
        [signature(b"{}", "another-secret")],
        [signature(b"{}", "")],
        [("X-Webhook-Signature", "")],
        [("X-Webhook-Signature", "*" * 44)],
        [("X-Webhook-Signature", signature(b"{}")[1][:-4])],
        [("X-Webhook-Signature", signature(b"{}")[1] + "é")],
        [("X-Webhook-Signature", signature(b"{}")[1].rstrip("="))],
    ],
)
async def test_what_is_not_proven_is_refused(
    edge: House, journal: Journal, signed: list[tuple[str, str]]
) -> None:
    answer = await edge.sender().raw(request("/bank", b"{}", signed))
    assert (answer.status, answer.json["error"]) == (401, "unproven")
    assert SECRET.encode() not in answer.body
    assert await events(journal) == []


async def test_the_signature_of_one_source_opens_no_other(edge: House) -> None:
    assert (await edge.sender().send(source="shop")).status == 401
    assert (await edge.sender().send(source="shop", secret="another-secret")).status == 202


async def test_both_secrets_are_good_and_their_last_use_is_known(journal: Journal, tmp_path: Path) -> None:
    async with house(journal.url, tmp_path) as edge:
        for number, secret in enumerate((SECRET, OLD)):
            assert (await edge.sender().send(b"%d" % number, secret=secret)).status == 202
    async with journal.opened() as store:
        uses = await store.read(inbox.uses)
    found = await events(journal)
    assert uses == {("bank", event.secret): event.received_at for event in found}
    assert [event.secret for event in found] == ["new", "old"]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/cloudevents+json; charset=utf-8", b"nothing", 400),
        ("application/json", b"", 400),
        ("APPLICATION/JSON", b"[" * 100_000, 400),
        ("application/json", b" null\n", 202),
        ("application/json", b'"text"', 202),
        ("text/plain", b"{", 202),
        ("application/x-www-form-urlencoded", b"a=1", 202),
    ],
)
async def test_what_says_it_is_json_is(edge: House, kind: str, body: bytes, status: int) -> None:
    assert (await edge.sender().send(body, ("Content-Type", kind))).status == status


async def test_json_need_not_be_checked(journal: Journal, tmp_path: Path) -> None:
    async with with_source(journal, tmp_path, check_json=False) as edge:
        assert (await edge.sender().send(b"{", JSON)).status == 202


async def test_a_bad_signature_is_told_before_bad_json(edge: House) -> None:
    assert (await edge.sender().send(b"{", JSON, secret="wrong")).status == 401


async def test_a_body_that_is_too_large_is_refused_and_not_collected(
    journal: Journal, tmp_path: Path
) -> None:
    async with with_source(journal, tmp_path, max_body=1000) as edge:
        assert (await edge.sender().send(b"x" * 1000)).status == 202
        assert (await edge.sender().send(b"x" * 1001)).status == 413
        head = request("/bank", b"", [("Transfer-Encoding", "chunked")], length=False)
        chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        assert (await edge.sender().raw(head + chunk * 3)).status == 413
        assert edge.intake.unsaved_bytes == 0
    assert len(await events(journal)) == 1


async def test_a_secret_in_any_letters_is_not_kept(journal: Journal, tmp_path: Path) -> None:
    secret = Secret("token", "pässwörd-of-the-shop")
    given = {"shop": IntakeSettings(scheme=Bearer(header="X-Token", prefix=""), secrets=[secret])}
    async with house(journal.url, tmp_path, given) as edge:
        shown = ("X-Token", secret.reveal().encode().decode("latin-1"))
        assert (await edge.sender().send(b"{}", shown, source="shop", secret=None)).status == 202
    (event,) = await events(journal)
    assert ["x-token", MASKED] in event.headers


async def test_only_its_addresses_may_send(journal: Journal, tmp_path: Path) -> None:
    for network, status in (("192.0.2.0/24", 403), ("127.0.0.0/8", 202)):
        async with with_source(journal, tmp_path, allow_from=[ip_network(network)]) as edge:
            assert (await edge.sender().send()).status == status


async def test_a_handshake_is_answered_and_not_kept(journal: Journal, tmp_path: Path) -> None:
    slack = Slack()
    secret = Secret("slack", "a-signing-secret")
    body = b'{"type": "url_verification", "challenge": "3eZbrw1aB"}'
    given = {"slack": IntakeSettings(scheme=slack, secrets=[secret])}
    async with house(journal.url, tmp_path, given) as edge:
        import time

        signed = slack.sign(body, secret, time.time())
        answer = await edge.sender().send(body, *signed, source="slack", secret=None)
        assert (answer.status, b"3eZbrw1aB" in answer.body) == (200, True)
        forged = await edge.sender().send(body, ("X-Slack-Signature", "v0=00"), source="slack", secret=None)
        assert forged.status == 401
    assert await events(journal) == []


async def test_copies_are_answered_with_the_first_id(edge: House, journal: Journal) -> None:
    sender = edge.sender()
    first = await sender.send(b"1", ("X-Event-Id", "a"))
    copy = await sender.send(b"1", ("X-Event-Id", "a"))
    assert (copy.status, copy.json) == (200, {"status": "duplicate", "id": first.id})
    other = await sender.send(b"2", ("X-Event-Id", "a"))
    assert other.status == 202
    assert [(event.id, event.conflict_of) for event in await events(journal)] == [
        (first.id, None),
        (other.id, first.id),
    ]


async def test_what_makes_two_alike_can_be_chosen(journal: Journal, tmp_path: Path) -> None:
    async with with_source(journal, tmp_path, dedup_by="body") as edge:
        given = [await edge.sender().send(b"1", ("X-Event-Id", name)) for name in "ab"]
        assert [answer.status for answer in given] == [202, 200]
    async with with_source(journal, tmp_path, dedup=0.0) as edge:
        given = [await edge.sender().send(b"2", ("X-Event-Id", "c")) for _ in range(2)]
        assert [answer.status for answer in given] == [202, 202]


@pytest.mark.parametrize(
    ("order_by", "wanted"),
    [
        ("all", "all"),
        ("header:X-Shop", "7"),
        ("body:data.customer", "c1"),
        ("body:data.list", None),
        ("body:data.odd", "a\ufffdb"),
        ("body:no", None),
    ],
)
async def test_the_order_key_is_found(
    journal: Journal, tmp_path: Path, order_by: str, wanted: str | None
) -> None:
    async with with_source(journal, tmp_path, order_by=order_by) as edge:
        await edge.sender().send(
            b'{"data": {"customer": "c1", "list": [1], "odd": "a\\u0000b"}}', ("X-Shop", "7")
        )
    assert [event.order_key for event in await events(journal)] == [wanted]


async def test_no_secret_gets_into_the_journal(journal: Journal, tmp_path: Path) -> None:
    """Some senders send it as it is: as a bearer, in a header, in the address."""
    plain = HmacScheme(parameter="sig")
    async with with_source(journal, tmp_path, scheme=plain) as edge:
        from urllib.parse import quote

        target = f"/bank?token={SECRET}&sig={quote(signature(b'{}')[1], safe='')}"
        sent = (("Authorization", f"Bearer {SECRET}"), ("Cookie", "a=b"), ("X-Copy", f"x {OLD}"))
        assert (await edge.sender().send(b"{}", *sent, target=target, secret=None)).status == 202
    (event,) = await events(journal)
    kept = dict(event.headers)
    assert (kept["authorization"], kept["cookie"], kept["x-copy"]) == ("********", "********", "x ********")
    assert event.query.startswith("token=********&sig=")


async def test_forgeries_do_not_flood_the_log(edge: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            await edge.sender().send(secret="wrong")
    told = [record.getMessage() for record in caplog.records if "bank" in record.getMessage()]
    assert len(told) == 1
    assert "127.0.0.1" in told[0]


async def test_a_sender_that_leaves_early_leaves_nothing(edge: House, journal: Journal) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(request("/bank", b"x" * 100, [])[:-50])
    await writer.drain()
    sender = edge.sender()
    await sender.send(b"1")
    assert edge.intake.unsaved_bytes == 50
    writer.close()
    await aeventually(lambda: edge.intake.unsaved_bytes == 0)
    assert len(await events(journal)) == 1


async def test_a_clock_that_is_set_loses_nothing(journal: Journal, tmp_path: Path) -> None:
    """Ids go on growing, and a copy is known as one across the step."""
    clock = FakeClock()
    async with house(journal.url, tmp_path, clock=clock) as edge:
        sender = edge.sender()
        given = []
        for number, step in enumerate((0.0, -600.0, 1200.0, -1e6)):
            clock.step(step)
            given.append(await sender.send(b"%d" % number, ("X-Event-Id", str(number))))
        copy = await sender.send(b"3", ("X-Event-Id", "3"))
    ids = [answer.id for answer in given]
    assert [answer.status for answer in given] == [202] * 4
    assert (copy.status, copy.id) == (200, ids[3])
    assert sorted(ids) == ids
    assert [event.id for event in await events(journal)] == ids


async def test_a_storm_of_copies_is_one_event(journal: Journal, tmp_path: Path) -> None:
    """10,000 copies over 64 connections and two edges on one journal."""
    async with house(journal.url, tmp_path) as one, house(journal.url, tmp_path) as two:

        async def storm(sender: Sender, count: int) -> set[tuple[int, str]]:
            given = [await sender.send(b'{"n": 1}', ("X-Event-Id", "evt")) for _ in range(count)]
            return {(answer.status, answer.id) for answer in given}

        senders = [edge.sender() for edge in (one, two) for _ in range(32)]
        seen = set[tuple[int, str]]().union(
            *await asyncio.gather(*[storm(sender, 157) for sender in senders])
        )
    (event,) = await events(journal)
    # Each edge knows at once what it took itself, and what the other one took when that is in the journal.
    first = {id_ for status, id_ in seen if status == 202}
    assert event.id in first
    assert len(first) <= 2
    assert {id_ for status, id_ in seen if status == 200} <= first
