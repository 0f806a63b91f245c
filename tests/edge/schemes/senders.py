"""Senders of webhooks, as the vendors' own libraries or documents have them: none of this uses mainstay's signing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Headers, Scheme

NOW = 1_800_000_000.0
URL = "https://hooks.example.com/source"
ID = "evt_0001"

# What receivers that parse and write JSON anew get wrong, because they then sign something else.
BODIES = [
    b'{"a": 1,  "b": [1, 2]}',
    b'{"amount":10.0}',
    b'{"amount":1e2}',
    b'{"name":"caf\\u00e9"}',
    b'{"url":"https:\\/\\/example.com\\/"}',
    b'{"id":9007199254740993}',
    b'{"10":"b","9":"a"}',
    b'{"amount":1,"amount":999}',
    b'{"a":1}\n',
    b'{"name":"caf\xc3\xa9"}',
    b'{"a":1,\r\n\t"b":-0}',
]


@dataclass
class Sent:
    """What a sender would put on the wire."""

    headers: dict[str, str]
    body: bytes
    url: str = URL


Sender = Callable[[bytes, str, float], Sent]
"""Sends (body, secret, now)."""


def keyed(secret: str | bytes, content: bytes, algorithm: str = "sha256") -> hmac.HMAC:
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.new(key, content, algorithm)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def text(body: bytes) -> str:
    return body.decode()


@dataclass
class Vendor:
    """A scheme, secrets for it and who sends with them."""

    send: Sender
    secrets: tuple[str, str] = ("the old secret", "the new secret")
    """As the vendor shows them, and as they are configured."""
    keys: tuple[str, str] | None = None
    """What the sender signs with, if it is something else."""
    options: dict[str, Any] = field(default_factory=dict)
    timed: bool = False
    body_signed: bool = True
    header: str = ""
    """The header with the signature."""
    idle: str = ""
    """A part of that header that says nothing."""

    def sent(self, body: bytes, which: int = 1, now: float = NOW) -> Sent:
        return self.send(body, (self.keys or self.secrets)[which], now)

    def configured(self) -> list[Secret]:
        return [Secret(f"hook_{at}", value) for at, value in enumerate(self.secrets)]


def delivery(sent: Sent, **changes: Any) -> Delivery:
    """Make what arrives."""
    path, _, query = sent.url.removeprefix("https://hooks.example.com").partition("?")
    made = Delivery("POST", path, query, Headers.of(sent.headers.items()), sent.body, "192.0.2.7", sent.url)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def scheme_of(name: str, **more: Any) -> Scheme:
    """Make a scheme with the options of its vendor here."""
    made: Scheme = Scheme.registry[name].model_validate({**VENDORS[name].options, **more})
    return made


def plain(header: str, how: Callable[[bytes, str], str], **others: str) -> Sender:
    """A signature over the body in one header."""
    return lambda body, secret, now: Sent({header: how(body, secret), **others}, body)


def stamped(body: bytes, secret: str, now: float) -> bytes:
    return keyed(secret, b"%d.%b" % (now, body)).digest()


def stripe(body: bytes, secret: str, now: float) -> Sent:
    from stripe import WebhookSignature

    header = WebhookSignature.generate_signature_header(text(body), secret, int(now))
    return Sent({"Stripe-Signature": header}, body)


def slack(body: bytes, secret: str, now: float) -> Sent:
    from slack_sdk.signature import SignatureVerifier

    stamp = str(int(now))
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
    assert signature
    return Sent({"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}, body)


def standard(prefix: str, library: str) -> Sender:
    def send(body: bytes, secret: str, now: float) -> Sent:
        from importlib import import_module

        webhook = import_module(library).Webhook(secret)
        signature = webhook.sign(ID, datetime.fromtimestamp(now, UTC), text(body))
        names = (f"{prefix}-id", f"{prefix}-timestamp", f"{prefix}-signature")
        return Sent(dict(zip(names, (ID, str(int(now)), signature), strict=True)), body)

    return send


def twilio(body: bytes, secret: str, now: float) -> Sent:
    from twilio.request_validator import RequestValidator

    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = RequestValidator(secret).compute_signature(url, {})
    return Sent({"X-Twilio-Signature": signature, "Content-Type": "application/json"}, body, url)


def zoom(body: bytes, secret: str, now: float) -> Sent:
    signature = "v0=" + keyed(secret, b"v0:%d:%b" % (now, body)).hexdigest()
    return Sent({"x-zm-request-timestamp": str(int(now)), "x-zm-signature": signature}, body)


def hubspot(body: bytes, secret: str, now: float) -> Sent:
    stamp = str(int(now * 1000))
    signature = b64(keyed(secret, f"POST{URL}".encode() + body + stamp.encode()).digest())
    return Sent({"X-HubSpot-Request-Timestamp": stamp, "X-HubSpot-Signature-v3": signature}, body)


def linear(body: bytes, secret: str, now: float) -> Sent:
    body = b'{"webhookTimestamp":%d,%b' % (now * 1000, body[1:])
    return Sent({"Linear-Signature": keyed(secret, body).hexdigest(), "Linear-Delivery": ID}, body)


def mailgun(body: bytes, secret: str, now: float) -> Sent:
    token = "e0b5477167110d68991efc6b9f89f0a11066af27834600e123"
    mac = keyed(secret, f"{int(now)}{token}".encode()).hexdigest()
    signature = f'{{"token":"{token}","timestamp":"{int(now)}","signature":"{mac}"}}'.encode()
    return Sent({}, b'{"signature":%b,%b' % (signature, body[1:]))


def discord(body: bytes, secret: str, now: float) -> Sent:
    from nacl.signing import SigningKey

    stamp = str(int(now))
    signature = SigningKey(bytes.fromhex(secret)).sign(stamp.encode() + body).signature.hex()
    return Sent({"X-Signature-Ed25519": signature, "X-Signature-Timestamp": stamp}, body)


def sendgrid(body: bytes, secret: str, now: float) -> Sent:
    key, stamp = ec.derive_private_key(int(secret), ec.SECP256R1()), str(int(now))
    signature = b64(key.sign(stamp.encode() + body, ec.ECDSA(SHA256(), deterministic_signing=True)))
    name = "X-Twilio-Email-Event-Webhook"
    return Sent({f"{name}-Signature": signature, f"{name}-Timestamp": stamp}, body)


def paypal(body: bytes, secret: str, now: float) -> Sent:
    """As PayPal's documents have it: `ID|TIME|WEBHOOK|CRC32`, the sum in decimal digits."""
    key = load_pem_private_key(secret.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = f"{ID}|{stamp}|{PAYPAL_WEBHOOK}|{zlib.crc32(body)}".encode()
    headers = {
        "PAYPAL-TRANSMISSION-ID": ID,
        "PAYPAL-TRANSMISSION-TIME": stamp,
        "Paypal-Transmission-Sig": b64(key.sign(content, padding.PKCS1v15(), SHA256())),
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
        "PAYPAL-CERT-URL": "https://somewhere.example.com/certs/CERT-1",  # nobody goes there
    }
    return Sent(headers, body)


def certified(
    name: str = "messageverificationcerts.paypal.com", until: int = 2035, bits: int = 2048
) -> tuple[str, str]:
    """Make a certificate for a new key; gives both in PEM."""
    key = rsa.generate_private_key(65537, bits)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(until, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM).decode(), private.decode()


PAYPAL_WEBHOOK = "9XL90610J3647323C"
PAYPAL = (certified(), certified())


def ed25519_public(seed: str) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)).public_key().public_bytes_raw()


def ecdsa_public(number: str) -> str:
    public = ec.derive_private_key(int(number), ec.SECP256R1()).public_key()
    return b64(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


SEEDS = ("11" * 32, "22" * 32)
NUMBERS = ("123456789", "987654321")
SHARED = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + b64(b"another key of 32 bytes for tests"))

VENDORS: dict[str, Vendor] = {
    "hmac": Vendor(
        plain("X-Webhook-Signature", lambda body, secret: b64(keyed(secret, body).digest())),
        header="X-Webhook-Signature",
    ),
    "standard_webhooks": Vendor(
        standard("webhook", "standardwebhooks"), SHARED, timed=True, header="webhook-signature"
    ),
    "svix": Vendor(standard("svix", "svix.webhooks"), SHARED, timed=True, header="svix-signature"),
    "github": Vendor(
        plain(
            "X-Hub-Signature-256",
            lambda body, secret: "sha256=" + keyed(secret, body).hexdigest(),
            **{"X-GitHub-Delivery": ID, "X-GitHub-Event": "push"},
        ),
        header="X-Hub-Signature-256",
    ),
    "stripe": Vendor(stripe, timed=True, header="Stripe-Signature"),
    "slack": Vendor(slack, timed=True, header="X-Slack-Signature"),
    "shopify": Vendor(
        plain(
            "X-Shopify-Hmac-Sha256",
            lambda body, secret: b64(keyed(secret, body).digest()),
            **{"X-Shopify-Event-Id": ID, "X-Shopify-Topic": "orders/create"},
        ),
        header="X-Shopify-Hmac-Sha256",
    ),
    "twilio": Vendor(twilio, header="X-Twilio-Signature"),
    "paymongo": Vendor(
        lambda body, secret, now: Sent(
            {"Paymongo-Signature": f"t={int(now)},te=,li={stamped(body, secret, now).hex()}"}, body
        ),
        timed=True,
        header="Paymongo-Signature",
        idle="te=,",
    ),
    "xendit": Vendor(
        plain("x-callback-token", lambda body, secret: secret, **{"webhook-id": ID}),
        body_signed=False,
        header="x-callback-token",
    ),
    "meta": Vendor(
        plain("X-Hub-Signature-256", lambda body, secret: "sha256=" + keyed(secret, body).hexdigest()),
        options={"verify_token": Secret("token", "my token")},
        header="X-Hub-Signature-256",
    ),
    "basic": Vendor(
        plain("Authorization", lambda body, secret: "Basic " + b64(f"hook:{secret}".encode())),
        options={"username": "hook"},
        body_signed=False,
        header="Authorization",
    ),
    "bearer": Vendor(
        plain("Authorization", lambda body, secret: f"Bearer {secret}"),
        body_signed=False,
        header="Authorization",
    ),
    "gitlab": Vendor(
        plain(
            "X-Gitlab-Token",
            lambda body, secret: secret,
            **{"Idempotency-Key": ID, "X-Gitlab-Event": "Push Hook"},
        ),
        body_signed=False,
        header="X-Gitlab-Token",
    ),
    "zoom": Vendor(zoom, timed=True, header="x-zm-signature"),
    "calendly": Vendor(
        lambda body, secret, now: Sent(
            {"Calendly-Webhook-Signature": f"t={int(now)},v1={stamped(body, secret, now).hex()}"}, body
        ),
        timed=True,
        header="Calendly-Webhook-Signature",
    ),
    "paddle": Vendor(
        lambda body, secret, now: Sent(
            {
                "Paddle-Signature": f"ts={int(now)};h1={keyed(secret, b'%d:%b' % (now, body)).hexdigest()}",
            },
            body,
        ),
        timed=True,
        header="Paddle-Signature",
    ),
    "woocommerce": Vendor(
        plain("X-WC-Webhook-Signature", lambda body, secret: b64(keyed(secret, body).digest())),
        header="X-WC-Webhook-Signature",
    ),
    "sendgrid": Vendor(
        sendgrid,
        (ecdsa_public(NUMBERS[0]), ecdsa_public(NUMBERS[1])),
        NUMBERS,
        timed=True,
        header="X-Twilio-Email-Event-Webhook-Signature",
    ),
    "paypal": Vendor(
        paypal,
        (PAYPAL[0][0], PAYPAL[1][0]),
        (PAYPAL[0][1], PAYPAL[1][1]),
        {"webhook_id": PAYPAL_WEBHOOK},
        timed=True,
        header="Paypal-Transmission-Sig",
    ),
    "mailgun": Vendor(mailgun, timed=True, body_signed=False),
    "dropbox": Vendor(
        plain("X-Dropbox-Signature", lambda body, secret: keyed(secret, body).hexdigest()),
        header="X-Dropbox-Signature",
    ),
    "linear": Vendor(linear, timed=True, header="Linear-Signature"),
    "discord": Vendor(
        discord,
        (ed25519_public(SEEDS[0]).hex(), ed25519_public(SEEDS[1]).hex()),
        SEEDS,
        timed=True,
        header="X-Signature-Ed25519",
    ),
    "typeform": Vendor(
        plain("Typeform-Signature", lambda body, secret: "sha256=" + b64(keyed(secret, body).digest())),
        header="Typeform-Signature",
    ),
    "intercom": Vendor(
        plain("X-Hub-Signature", lambda body, secret: "sha1=" + keyed(secret, body, "sha1").hexdigest()),
        header="X-Hub-Signature",
    ),
    "hubspot": Vendor(hubspot, timed=True, header="X-HubSpot-Signature-v3"),
    "square": Vendor(
        plain(
            "x-square-hmacsha256-signature",
            lambda body, secret: b64(keyed(secret, URL.encode() + body).digest()),
        ),
        header="x-square-hmacsha256-signature",
    ),
    "pagerduty": Vendor(
        plain("X-PagerDuty-Signature", lambda body, secret: "v1=" + keyed(secret, body).hexdigest()),
        header="X-PagerDuty-Signature",
    ),
    "paystack": Vendor(
        plain("x-paystack-signature", lambda body, secret: keyed(secret, body, "sha512").hexdigest()),
        header="x-paystack-signature",
    ),
    "line": Vendor(
        plain("x-line-signature", lambda body, secret: b64(keyed(secret, body).digest())),
        header="x-line-signature",
    ),
}
