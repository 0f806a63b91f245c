"""Genuine signatures around things that make no sense, and secrets that are none."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.signing import SigningKey

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import CannotSign, Refused, Sending
from mainstay.edge.schemes.sendgrid import SIGNATURE, TIME
from mainstay.edge.schemes.standard_webhooks import StandardWebhooks
from mainstay.edge.schemes.twilio import Twilio
from tests.edge.schemes.senders import (
    ID,
    NOW,
    NUMBERS,
    SEEDS,
    URL,
    VENDORS,
    Sent,
    b64,
    delivery,
    keyed,
    scheme_of,
)

SECRET, BODY = "the new secret", b'{"a":1}'
TIMES = ["soon", "1.8e9", "-1", "1800000000 ", "9" * 16, "1800000000\x00"]


def signed(name: str, stamp: str) -> Sent:
    """A signature by the right secret over a time of our choice."""
    content = stamp.encode() + BODY
    match name:
        case "stripe":
            mac = keyed(SECRET, stamp.encode() + b"." + BODY).hexdigest()
            return Sent({"Stripe-Signature": f"t={stamp},v1={mac}"}, BODY)
        case "slack":
            mac = keyed(SECRET, b"v0:%b:%b" % (stamp.encode(), BODY)).hexdigest()
            return Sent({"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}, BODY)
        case "standard_webhooks":
            mac = b64(keyed(SECRET, b"%b.%b.%b" % (ID.encode(), stamp.encode(), BODY)).digest())
            names = ("webhook-id", "webhook-timestamp", "webhook-signature")
            return Sent(dict(zip(names, (ID, stamp, f"v1,{mac}"), strict=True)), BODY)
        case "discord":
            signature = SigningKey(bytes.fromhex(SEEDS[1])).sign(content).signature.hex()
            return Sent({"X-Signature-Ed25519": signature, "X-Signature-Timestamp": stamp}, BODY)
        case "sendgrid":
            key = ec.derive_private_key(int(NUMBERS[1]), ec.SECP256R1())
            return Sent({SIGNATURE: b64(key.sign(content, ec.ECDSA(SHA256()))), TIME: stamp}, BODY)
        case "linear":
            body = json.dumps({"webhookTimestamp": stamp}).encode()
            return Sent({"Linear-Signature": keyed(SECRET, body).hexdigest()}, body)
        case _:
            mac = keyed(SECRET, f"{stamp}t".encode()).hexdigest()
            inside = {"timestamp": stamp, "token": "t", "signature": mac}
            return Sent({}, json.dumps({"signature": inside}).encode())


@pytest.mark.parametrize("stamp", TIMES)
@pytest.mark.parametrize(
    "name", ["stripe", "slack", "standard_webhooks", "discord", "sendgrid", "linear", "mailgun"]
)
def test_a_signed_time_that_is_none_is_refused(name: str, stamp: str) -> None:
    secrets = VENDORS[name].configured() if VENDORS[name].keys else [Secret("hook", SECRET)]
    assert isinstance(scheme_of(name).verify(delivery(signed(name, stamp)), secrets, NOW), Refused)


@pytest.mark.parametrize("value", [None, True, 1.5, -1, 10**15, "1800000000000"])
def test_linear_needs_its_time_as_a_number(value: object) -> None:
    body = json.dumps({"webhookTimestamp": value}).encode()
    sent = Sent({"Linear-Signature": keyed(SECRET, body).hexdigest()}, body)
    verdict = scheme_of("linear").verify(delivery(sent), [Secret("hook", SECRET)], NOW)
    assert verdict == Refused("no webhookTimestamp in the body")


@pytest.mark.parametrize(
    ("name", "secret", "said"),
    [
        ("standard_webhooks", "whsec_!", "whsec_"),
        ("standard_webhooks", "whsec_", "whsec_"),
        ("standard_webhooks", "whpk_AAAA", "whpk_"),
        ("standard_webhooks", "whsk_AAAA", "whsk_"),
        ("sendgrid", "a key", "verification key"),
        ("discord", "AB" * 32, "public key"),
    ],
)
def test_a_secret_that_is_none_is_found_before_it_is_needed(name: str, secret: str, said: str) -> None:
    fault = scheme_of(name).fault(secret)
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize("secret", ["whpk_" + b64(bytes(32)), "whsec_!"])
def test_what_cannot_sign_says_so(secret: str) -> None:
    with pytest.raises(CannotSign) as fault:
        StandardWebhooks().sign(BODY, Secret("hook", secret), NOW, id=ID)
    assert fault.value.hint


def test_twilio_at_its_limits() -> None:
    with pytest.raises(CannotSign, match="more than 1000 fields"):
        Twilio().outgoing(Sending(URL, b"a=1&" * 2000), Secret("hook", SECRET), NOW)
    for url in ("https://hooks.example.com:99999/source", "https://[::1/source", "https://[::1]:8443/source"):
        request = delivery(Sent({"X-Twilio-Signature": "x"}, b""))
        request.url = url
        assert isinstance(Twilio().verify(request, [Secret("hook", SECRET)], NOW), Refused)


def test_mailguns_signature_needs_an_object_to_stand_in() -> None:
    sending = Sending(URL, b"[1]")
    with pytest.raises(CannotSign, match="JSON object"):
        scheme_of("mailgun").outgoing(sending, Secret("hook", SECRET), NOW)
