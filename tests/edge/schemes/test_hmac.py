"""The generic scheme: every place, spelling and content that it can be told of."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mainstay.core.plugin import Tagged
from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Delivery, Headers, Refused, Scheme, Sending, Verified
from mainstay.edge.schemes.hmac import HmacScheme

NOW = 1_800_000_000.0
OLD, NEW = Secret("hook_old", "an old secret"), Secret("hook_new", "a new secret")
BODY = b'{"amount": 10.0}\n'


def of(headers: dict[str, str], body: bytes = BODY, query: str = "") -> Delivery:
    url = "https://hooks.example.com/bank" + (f"?{query}" if query else "")
    return Delivery("POST", "/bank", query, Headers.of(headers.items()), body, "192.0.2.7", url)


def right(secret: str, content: bytes = BODY, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), content, getattr(hashlib, algorithm)).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_the_default_is_base64_of_sha256_in_its_header() -> None:
    request = of({"x-webhook-signature": b64(right("a new secret"))})
    assert HmacScheme().verify(request, [OLD, NEW], NOW) == Verified("hook_new")
    assert HmacScheme().verify(request, [OLD], NOW) == Refused("the signature does not match")
    assert HmacScheme().verify(request, [], NOW) == Refused("the signature does not match")


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "HEX", "base64", "base64url"])
@pytest.mark.parametrize("prefix", ["", "v0=", "HMAC "])
def test_every_spelling(algorithm: Any, encoding: Any, prefix: str) -> None:
    digest = right("an old secret", algorithm=algorithm)
    text = {
        "hex": digest.hex(),
        "HEX": digest.hex().upper(),
        "base64": b64(digest),
        "base64url": base64.urlsafe_b64encode(digest).decode(),
    }[encoding]
    scheme = HmacScheme(header="Signature", algorithm=algorithm, encoding=encoding, prefix=prefix)
    assert scheme.verify(of({"signature": prefix + text}), [NEW, OLD], NOW) == Verified("hook_old")
    assert isinstance(scheme.verify(of({"signature": text + "x"}), [NEW, OLD], NOW), Refused)
    sent = scheme.outgoing(Sending("https://hooks.example.com/bank", BODY), OLD, NOW)
    assert dict(sent.headers) == {"Signature": prefix + text}


def test_base64url_may_come_without_padding() -> None:
    text = base64.urlsafe_b64encode(right("a new secret")).decode().rstrip("=")
    scheme = HmacScheme(encoding="base64url")
    assert scheme.verify(of({"x-webhook-signature": text}), [NEW], NOW) == Verified("hook_new")


def test_a_time_is_signed_and_judged() -> None:
    scheme = HmacScheme(timestamp="X-Time", content="{timestamp}.{body}", encoding="hex")

    def sent(at: float) -> Delivery:
        stamp = str(int(at))
        return of(
            {
                "x-time": stamp,
                "x-webhook-signature": right("a new secret", stamp.encode() + b"." + BODY).hex(),
            }
        )

    assert scheme.verify(sent(NOW - 300), [NEW], NOW) == Verified("hook_new", NOW - 300)
    assert scheme.verify(sent(NOW + 60), [NEW], NOW) == Verified("hook_new", NOW + 60)
    assert scheme.verify(sent(NOW - 301), [NEW], NOW) == Refused(
        "it was signed 301 s ago, and 300 s are allowed"
    )
    assert scheme.verify(sent(NOW + 61), [NEW], NOW) == Refused(
        "it was signed 61 s in the future, and 60 s are allowed"
    )
    assert scheme.life == 360
    assert HmacScheme().life is None


def test_another_time_than_the_signed_one_is_refused() -> None:
    scheme = HmacScheme(timestamp="X-Time", content="{timestamp}.{body}", encoding="hex")
    headers = dict(scheme.sign(BODY, NEW, NOW))
    assert scheme.verify(of({**headers, "X-Time": str(int(NOW) + 1)}), [NEW], NOW) == Refused(
        "the signature does not match"
    )
    without = {"X-Webhook-Signature": right("a new secret", b"." + BODY).hex()}
    assert scheme.verify(of(without), [NEW], NOW) == Refused("no time in the header X-Time")


def test_milliseconds_id_and_address() -> None:
    scheme = HmacScheme(
        timestamp="X-Time",
        unit="milliseconds",
        id="X-Id",
        type="X-Type",
        content="{id}:{timestamp}:{method}:{url}:{path}?{query}:{body}",
    )
    sent = scheme.outgoing(
        Sending("https://hooks.example.com/bank?a=1", BODY, id="evt_1", type="paid"), NEW, NOW + 0.25
    )
    request = of(dict(sent.headers), query="a=1")
    assert scheme.verify(request, [NEW], NOW) == Verified("hook_new", NOW + 0.25)
    assert (scheme.event_id(request), scheme.event_type(request)) == ("evt_1", "paid")
    assert isinstance(scheme.verify(of(dict(sent.headers), query="a=2"), [NEW], NOW), Refused)
    changed = of({**dict(sent.headers), "X-Id": "evt_2"}, query="a=1")
    assert isinstance(scheme.verify(changed, [NEW], NOW), Refused)


def test_a_signature_in_the_address() -> None:
    scheme = HmacScheme(parameter="sig")
    sent = scheme.outgoing(Sending("https://hooks.example.com/bank?a=1", BODY), NEW, NOW)
    query = sent.url.partition("?")[2]
    assert scheme.verify(of({}, query=query), [NEW], NOW) == Verified("hook_new")
    assert scheme.verify(of({}, query="a=1"), [NEW], NOW) == Refused("no signature in the parameter sig")
    assert isinstance(scheme.verify(of({}, body=BODY + b" ", query=query), [NEW], NOW), Refused)


def test_one_of_several_signatures_is_enough() -> None:
    signature = b64(right("a new secret"))
    for text in (f"abc, {signature}", f"{signature},abc", f"x {signature} y"):
        assert HmacScheme().verify(of({"x-webhook-signature": text}), [NEW], NOW) == Verified("hook_new")
    flood = ",".join(["abc"] * 100 + [signature])
    assert isinstance(HmacScheme().verify(of({"x-webhook-signature": flood}), [NEW], NOW), Refused)


@pytest.mark.parametrize("key", ["base64", "hex"])
def test_a_secret_in_another_spelling(key: Any) -> None:
    binary = bytes(range(200, 232))
    written = b64(binary) if key == "base64" else binary.hex()
    signature = b64(hmac.new(binary, BODY, hashlib.sha256).digest())
    scheme = HmacScheme(key=key)
    request = of({"x-webhook-signature": signature})
    assert scheme.verify(request, [Secret("hook", written)], NOW) == Verified("hook")
    assert scheme.fault(written) is None
    assert scheme.fault("no such spelling!") == f"it is not {key}"
    assert isinstance(scheme.verify(request, [Secret("hook", "no such spelling!")], NOW), Refused)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"content": "{timestamp}"}, "without {body}"),
        ({"content": "{timestamp}.{body}"}, "a time needs both"),
        ({"timestamp": "X-Time"}, "a time needs both"),
        ({"content": "{id}.{body}"}, "needs `id`"),
        ({"content": "{bodi}"}, "{bodi} is not known"),
        ({"parameter": "s", "content": "{url}{body}"}, "cannot cover the address"),
        ({"ahead": 200.0}, "more than half of tolerance"),
        ({"algorithm": "md5"}, "sha256"),
    ],
)
def test_what_would_prove_nothing_is_no_configuration(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as fault:
        HmacScheme.model_validate(options)
    assert said in str(fault.value)


def test_it_is_written_like_every_plug_in() -> None:
    adapter: TypeAdapter[Scheme] = TypeAdapter(Annotated[Scheme, Tagged(Scheme)])
    assert adapter.validate_python("hmac") == HmacScheme()
    assert adapter.validate_python({"hmac": {"encoding": "hex"}}) == HmacScheme(encoding="hex")
    assert adapter.validate_python({"hmac": "X-Sig"}) == HmacScheme(header="X-Sig")
