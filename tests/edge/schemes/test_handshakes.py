"""Handshakes: answered when the vendor asks, and to nobody else where it can be told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Headers, Reply, Scheme
from tests.edge.schemes.senders import NOW, VENDORS, Sent, delivery, keyed, scheme_of

STRANGER = Secret("other", "somebody else's secret")


def answer(name: str, body: bytes, secrets: list[Secret] | None = None, **changes: Any) -> Reply | None:
    vendor = VENDORS[name]
    request = delivery(vendor.sent(body), **changes)
    return scheme_of(name).challenge(request, vendor.configured() if secrets is None else secrets, NOW)


def get(name: str, query: str) -> Reply | None:
    request = Delivery(
        "GET", "/source", query, Headers(), b"", "192.0.2.7", f"https://x.example/source?{query}"
    )
    return scheme_of(name).challenge(request, [], NOW)


def test_slack() -> None:
    body = b'{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}'
    reply = answer("slack", body)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P")
    assert ("X-Content-Type-Options", "nosniff") in reply.headers
    assert answer("slack", body, [STRANGER]) is None
    changed = delivery(VENDORS["slack"].sent(body), body=body + b" ")
    assert scheme_of("slack").challenge(changed, VENDORS["slack"].configured(), NOW) is None
    assert answer("slack", b'{"type":"event_callback","event":{"text":"url_verification"}}') is None
    assert answer("slack", b'{"type":"url_verification"}') is None


def test_zoom() -> None:
    body = (
        b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1}'
    )
    reply = answer("zoom", body)
    assert reply is not None
    mac = keyed("the new secret", b"qgg8vlvZRS6UYooatFL8Aw").hexdigest()
    assert json.loads(reply.body) == {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": mac}
    assert answer("zoom", body, [STRANGER]) is None
    assert answer("zoom", b'{"event":"meeting.started","payload":{"topic":"url_validation"}}') is None


def test_discord() -> None:
    assert answer("discord", b'{"type":1,"id":"1"}') == Reply(
        200, b'{"type":1}', (("Content-Type", "application/json"),)
    )
    assert answer("discord", b'{"version":1,"application_id":"1","type":0}') == Reply(204, headers=())
    assert answer("discord", b'{"type":1,"id":"1"}', [Secret("other", VENDORS["discord"].secrets[0])]) is None
    assert answer("discord", b'{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}') is None
    assert answer("discord", b'{"type":2,"id":"1"}') is None


def test_woocommerce() -> None:
    def ping(body: bytes, **headers: str) -> Reply | None:
        return scheme_of("woocommerce").challenge(delivery(Sent(headers, body)), [STRANGER], NOW)

    reply = ping(b"webhook_id=17")
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"")
    assert ping(b"webhook_id=17&order=1") is None
    assert ping(b'{"id":1}') is None
    assert ping(b"webhook_id=17", **{"X-WC-Webhook-Signature": "x"}) is None


def test_meta() -> None:
    asked = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    reply = get("meta", asked + "my%20token")
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"1158201444")
    for wrong in ("", "my", "my%20token2", "%ff", "my%20token&hub.verify_token=my%20token"):
        assert get("meta", asked + wrong) == Reply(403)
    assert get("meta", "hub.mode=unsubscribe&hub.verify_token=my%20token&hub.challenge=1") is None
    assert answer("meta", b"{}") is None


def test_dropbox() -> None:
    reply = get("dropbox", "challenge=abc123")
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"abc123")
    assert reply.headers == (("Content-Type", "text/plain"), ("X-Content-Type-Options", "nosniff"))
    assert get("dropbox", "") is None
    assert get("dropbox", "challenge=a%0d%0ab") is None
    assert answer("dropbox", b"{}", query="challenge=abc123") is None


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_who_asks_by_get_is_said(name: str) -> None:
    assert Scheme.registry[name].handshakes == (name in ("meta", "dropbox"))
