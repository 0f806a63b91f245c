"""Vendors' documented examples on our side, and our signatures on theirs."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Headers, Refused, Scheme, Sending, Verified
from mainstay.edge.schemes.discord import Discord
from mainstay.edge.schemes.github import GitHub
from mainstay.edge.schemes.mailgun import Mailgun
from mainstay.edge.schemes.pagerduty import PagerDutyWebhooks
from mainstay.edge.schemes.sendgrid import SendGrid
from mainstay.edge.schemes.shopify import Shopify
from mainstay.edge.schemes.slack import Slack
from mainstay.edge.schemes.standard_webhooks import StandardWebhooks
from mainstay.edge.schemes.stripe import Stripe
from mainstay.edge.schemes.twilio import Twilio
from mainstay.edge.schemes.woocommerce import WooCommerce
from tests.edge.schemes.senders import BODIES, ID, NOW, SEEDS, SHARED, VENDORS, Sent, delivery

SECRET = Secret("hook", "the new secret")


def post(headers: dict[str, str], body: bytes, url: str = "https://hooks.example.com/source") -> Delivery:
    return delivery(Sent(headers, body, url))


def test_githubs_documented_example() -> None:
    # docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = Secret("hook", "It's a Secret to Everybody")
    request = post(
        {"X-Hub-Signature-256": signature, "X-GitHub-Delivery": ID, "X-GitHub-Event": "push"},
        b"Hello, World!",
    )
    assert GitHub().verify(request, [secret], NOW) == Verified("hook")
    assert (GitHub().event_id(request), GitHub().event_type(request)) == (ID, "push")


def test_slacks_documented_example() -> None:
    # api.slack.com, "Verifying requests from Slack".
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    headers = {"X-Slack-Request-Timestamp": "1531420618", "X-Slack-Signature": signature}
    secret = Secret("hook", "8f742231b10e8888abcd99yyyzzz85a5")
    assert Slack().verify(post(headers, body), [secret], 1531420620.0) == Verified("hook", 1531420618)


def test_the_example_of_standard_webhooks() -> None:
    # The README of the reference libraries.
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    request = post(headers, b'{"test": 2432232314}')
    scheme, secrets = StandardWebhooks(), [Secret("hook", SHARED[0])]
    assert scheme.verify(request, secrets, 1614265330.0) == Verified("hook", 1614265330)
    assert scheme.event_id(request) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    bare = [Secret("hook", SHARED[0].removeprefix("whsec_"))]
    assert isinstance(scheme.verify(request, bare, 1614265330.0), Verified)


def test_pagerdutys_own_vector() -> None:
    # The test of PagerDuty's Go library, webhookv3/webhookv3_test.go.
    secret = Secret("hook", "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK")
    acme = "https://acme.pagerduty.com"
    api = "https://api.pagerduty.com"

    def reference(
        kind: str, key: str, summary: str, path: str, api_path: str | None = None
    ) -> dict[str, Any]:
        made = {"html_url": f"{acme}/{path}", "id": key, "self": f"{api}/{api_path or path}"}
        return {**made, "summary": summary, "type": f"{kind}_reference"}

    data = {
        "id": "PGR0VU2",
        "type": "incident",
        "self": f"{api}/incidents/PGR0VU2",
        "html_url": f"{acme}/incidents/PGR0VU2",
        "number": 2,
        "status": "triggered",
        "title": "A little bump in the road",
        "service": reference("service", "PF9KMXH", "API Service", "services/PF9KMXH"),
        "assignees": [reference("user", "PTUXL6G", "User 123", "users/PTUXL6G")],
        "escalation_policy": reference(
            "escalation_policy", "PUS0KTE", "Default", "escalation_policies/PUS0KTE"
        ),
        "teams": [reference("team", "PFCVPS0", "Engineering", "teams/PFCVPS0")],
        "priority": reference(
            "priority", "PSO75BM", "P1", "account/incident_priorities", "priorities/PSO75BM"
        ),
        "urgency": "high",
        "conference_bridge": {"conference_number": 1000, "conference_url": "https://example.com"},
        "resolve_reason": None,
    }
    event = {
        "id": "01BWDWL3NYY7LUFPZCC28QUCMK",
        "event_type": "incident.priority_updated",
        "resource_type": "incident",
        "occurred_at": "2021-04-26T17:36:27.458Z",
        "agent": reference("user", "PLH1HKV", "Tenex Engineer", "users/PLH1HKV"),
        "client": None,
        "data": data,
    }
    body = json.dumps({"event": event}, separators=(",", ":")).encode()
    right = "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd"
    wrong = "v1=7020c8a7ec668a9b7012bc3dd82e483394b038f4230acc6785efbf2a7d8bcaf5"
    scheme = PagerDutyWebhooks()
    for value, verdict in (
        (right, Verified("hook")),
        (f"{wrong},{right}", Verified("hook")),
        (wrong, Refused("the signature does not match")),
    ):
        request = post({"X-PagerDuty-Signature": value}, body)
        assert scheme.verify(request, [secret], NOW) == verdict
    assert scheme.event_id(request) == "01BWDWL3NYY7LUFPZCC28QUCMK"
    assert scheme.event_type(request) == "incident.priority_updated"


def test_sendgrids_own_vector() -> None:
    # The test of SendGrid's Python library, test/unit/test_eventwebhook.py.
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVp"
        "iglSI8eNEc6wEA3F+g=="
    )
    body = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
        b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
        b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
        b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    signature = (
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    )
    name = "X-Twilio-Email-Event-Webhook"
    headers = {f"{name}-Signature": signature, f"{name}-Timestamp": "1600112502"}
    armoured = f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----"
    for spelled in (key, armoured, armoured.replace("\n", " ")):
        secret = Secret("hook", spelled)
        assert SendGrid().fault(spelled) is None
        assert SendGrid().verify(post(headers, body), [secret], 1600112503.0) == Verified("hook", 1600112502)
    assert SendGrid().verify(post(headers, body.strip()), [secret], 1600112503.0) == Refused(
        "the signature does not match"
    )


URI = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
JSON = '{"property": "value", "boolean": true}'
BOUND = f"{URI}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


@pytest.mark.parametrize(
    ("url", "body", "kind", "signature"),
    [
        (URI, FORM, "form", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URI, "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234", "form", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        (URI.replace(".com", ".com:1234"), FORM, "form", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (
            URI.replace(".com", ".com:1234").replace("https", "http"),
            FORM,
            "form",
            "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=",
        ),
        (URI, FORM, "form", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (URI.replace("https", "http"), FORM, "form", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        (BOUND, JSON, "json", "a9nBmqA0ju/hNViExpshrM61xv4="),
    ],
)
def test_twilios_own_vectors(url: str, body: str, kind: str, signature: str) -> None:
    # The tests of Twilio's Python library, tests/unit/test_request_validator.py.
    content = {"form": "application/x-www-form-urlencoded; charset=UTF-8", "json": "application/json"}[kind]
    secret = Secret("hook", "12345")

    def verdict(body: str, url: str = url) -> Verified | Refused:
        headers = Headers.of([("X-Twilio-Signature", signature), ("Content-Type", content)])
        query = url.partition("?")[2]
        request = Delivery("POST", "/myapp.php", query, headers, body.encode(), "192.0.2.7", url)
        return Twilio().verify(request, [secret], NOW)

    assert verdict(body) == Verified("hook")
    assert isinstance(verdict(body.replace("1", "2").replace("value", "other")), Refused)
    assert isinstance(verdict(body, url.replace("foo=1", "foo=2")), Refused)


def test_twilios_forms_are_read_as_its_library_reads_them() -> None:
    from twilio.request_validator import RequestValidator

    fields = {"Body": "naïve & +1 ✓", "From": "+63 917", "Empty": "", "a": "1", "B": "2"}
    from urllib.parse import urlencode

    body = urlencode(fields).encode()
    url = "https://hooks.example.com/source"
    signature = RequestValidator("the new secret").compute_signature(url, fields)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    assert Twilio().verify(post(headers, body), [SECRET], NOW) == Verified("hook")
    sent = Twilio().outgoing(Sending(url, body, id=ID), SECRET, NOW)
    assert RequestValidator("the new secret").validate(url, fields, dict(sent.headers)["X-Twilio-Signature"])
    sha256 = RequestValidator("the new secret").compute_signature(url, fields, "HMAC_SHA256")
    settings = {"X-Twilio-Webhooks-Signature-Settings": "key=sk_1,algorithm=HMAC_SHA256"}
    newer = post({**headers, "X-Twilio-Signature": sha256, **settings}, body)
    assert Twilio().verify(newer, [SECRET], NOW) == Verified("hook")


def test_twilios_json_without_a_hash_is_refused() -> None:
    from twilio.request_validator import RequestValidator

    url = "https://hooks.example.com/source"
    signature = RequestValidator("the new secret").compute_signature(url, {})
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/json"}
    verdict = Twilio().verify(post(headers, b'{"amount": 1}'), [SECRET], NOW)
    assert isinstance(verdict, Refused)
    assert "nothing of it is signed" in verdict.why
    many = Twilio().verify(
        post({**headers, "Content-Type": "application/x-www-form-urlencoded"}, b"a=1&" * 2000), [SECRET], NOW
    )
    assert many == Refused("the form has more than 1000 fields")


def sent_by_us(scheme: Scheme, body: bytes, secret: str, now: float = NOW) -> Sending:
    url = "https://hooks.example.com/source"
    return scheme.outgoing(Sending(url, body, id=ID, type="test"), Secret("hook", secret), now)


@pytest.mark.parametrize("body", BODIES)
def test_their_libraries_take_what_we_send(body: bytes) -> None:
    import svix.webhooks
    from slack_sdk.signature import SignatureVerifier
    from standardwebhooks import Webhook
    from stripe import WebhookSignature
    from twilio.request_validator import RequestValidator

    stripe = dict(sent_by_us(Stripe(), body, "s").headers)["Stripe-Signature"]
    assert WebhookSignature.verify_header(body.decode(), stripe, "s")
    now = time.time()  # those libraries know no other clock
    for prefix, library, name in (
        ("webhook", Webhook, "standard_webhooks"),
        ("svix", svix.webhooks.Webhook, "svix"),
    ):
        headers = dict(sent_by_us(Scheme.registry[name](), body, SHARED[1], now).headers)
        assert headers[f"{prefix}-id"] == ID
        library(SHARED[1]).verify(body, headers)
    slack = dict(sent_by_us(Slack(), body, "s", now).headers)
    assert SignatureVerifier("s").is_valid(
        body, slack["X-Slack-Request-Timestamp"], slack["X-Slack-Signature"]
    )
    twilio = sent_by_us(Twilio(), body, "s")
    signature = dict(twilio.headers)["X-Twilio-Signature"]
    assert RequestValidator("s").validate(twilio.url, body.decode(), signature)


def test_their_libraries_take_what_our_stand_ins_send() -> None:
    """Discord and SendGrid publish no signer; the tests' own is judged by their verifiers."""
    from discord_interactions import verify_key
    from sendgrid import EventWebhook

    sent = VENDORS["discord"].sent(BODIES[0])
    signature, stamp = sent.headers["X-Signature-Ed25519"], sent.headers["X-Signature-Timestamp"]
    assert verify_key(sent.body, signature, stamp, VENDORS["discord"].secrets[1])
    sent = VENDORS["sendgrid"].sent(BODIES[0])
    signature, stamp = sent.headers.values()
    assert EventWebhook(VENDORS["sendgrid"].secrets[1]).verify_signature(sent.body.decode(), signature, stamp)


def test_stripe_with_two_secrets_in_force() -> None:
    sent = VENDORS["stripe"].sent(BODIES[0])
    stamp, _, right = sent.headers["Stripe-Signature"].partition(",")
    header = f"{stamp},v1={'0' * 64},{right},v0={'1' * 64}"
    assert Stripe().verify(post({"Stripe-Signature": header}, sent.body), [SECRET], NOW) == Verified(
        "hook", NOW
    )
    twice = f"t=1,{header}"
    assert isinstance(Stripe().verify(post({"Stripe-Signature": twice}, sent.body), [SECRET], NOW), Refused)
    body = b'{"id":"evt_1","type":"charge.succeeded"}'
    assert (Stripe().event_id(post({}, body)), Stripe().event_type(post({}, body))) == (
        "evt_1",
        "charge.succeeded",
    )


def test_signatures_by_a_private_key() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEEDS[0]))
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    other = "whpk_" + base64.b64encode(bytes.fromhex(SEEDS[1])).decode()
    stamp, body = str(int(NOW)), BODIES[5]
    signature = private.sign(f"{ID}.{stamp}.".encode() + body)
    spelled = "v1a," + base64.b64encode(signature).decode()
    scheme = StandardWebhooks()

    def verdict(value: str, *secrets: str) -> Verified | Refused:
        headers = {"webhook-id": ID, "webhook-timestamp": stamp, "webhook-signature": value}
        found = [Secret(f"hook_{at}", secret) for at, secret in enumerate(secrets)]
        return scheme.verify(post(headers, body), found, NOW)

    assert verdict(spelled, SHARED[0], other, public) == Verified("hook_2", NOW)
    assert verdict(f"v1,abc v1a,abc {spelled}", public) == Verified("hook_0", NOW)
    assert isinstance(verdict(spelled, SHARED[0]), Refused)
    assert isinstance(verdict(spelled.replace("v1a,", "v1,"), public), Refused)
    assert isinstance(verdict(spelled.rstrip("="), public), Refused)
    assert isinstance(verdict(" ".join(["v1a," + "A" * 86 + "=="] * 10 + [spelled]), public), Refused)
    secret = "whsk_" + base64.b64encode(bytes.fromhex(SEEDS[0])).decode()
    sent = dict(scheme.sign(body, Secret("hook", secret), NOW, id=ID))
    assert sent["webhook-signature"] == spelled
    assert verdict(spelled, secret) == Verified("hook_0", NOW)


def test_a_public_key_as_a_hmac_secret_opens_nothing() -> None:
    """Who knows a public key, as everybody may, cannot sign with it as if it were a shared secret."""
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEEDS[0]))
    raw = private.public_key().public_bytes_raw()
    public = "whpk_" + base64.b64encode(raw).decode()
    from standardwebhooks import Webhook

    for key in (raw, public.encode(), base64.b64encode(raw)):
        from datetime import UTC, datetime

        signature = Webhook(key).sign(ID, datetime.fromtimestamp(NOW, UTC), "{}")
        headers = {"webhook-id": ID, "webhook-timestamp": str(int(NOW)), "webhook-signature": signature}
        assert isinstance(
            StandardWebhooks().verify(post(headers, b"{}"), [Secret("h", public)], NOW), Refused
        )


def test_ids_that_are_not_to_be_trusted() -> None:
    shopify = {"X-Shopify-Event-Id": "98880550", "X-Shopify-Topic": "orders/create"}
    assert Shopify().event_id(post(shopify, b"{}")) == "98880550/orders/create"
    assert Shopify().event_id(post({}, b"{}")) is None
    # WooCommerce makes its delivery id of the webhook and the second: it is the same for different events.
    assert WooCommerce().event_id(post({"X-WC-Webhook-Delivery-ID": "abc"}, b"{}")) is None
    for odd in ("x" * 257, "a\x01b", " ", "é\x85"):
        assert GitHub().event_id(post({"X-GitHub-Delivery": odd}, b"{}")) is None
    for body in (
        b'{"id": {}}',
        b'{"id": ""}',
        b'{"id": true}',
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5000 + b"}",
    ):
        assert Stripe().event_id(post({}, body)) is None
    assert Stripe().event_id(post({}, b'{"id": 42}')) == "42"


def test_mailguns_token_is_the_events_id() -> None:
    sent = VENDORS["mailgun"].sent(b'{"event-data":{"event":"opened"}}')
    request = post({}, sent.body)
    token = json.loads(sent.body)["signature"]["token"]
    assert (Mailgun().event_id(request), Mailgun().event_type(request)) == (token, "opened")
    parent = sent.body.replace(b'"signature":"', b'"signature":"00","parent-signature":"')
    assert Mailgun().verify(post({}, parent), [SECRET], NOW) == Verified("hook", NOW)


def test_discords_events_have_types() -> None:
    event = b'{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}'
    assert Discord().event_type(post({}, event)) == "ENTITLEMENT_CREATE"
    assert Discord().event_type(post({}, b'{"type":2,"id":"7"}')) == "2"
