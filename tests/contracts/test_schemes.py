"""What every signature scheme must do with a real sender's requests, and with those of anybody else.

A new type needs an entry in `tests.edge.schemes.senders.VENDORS`; without one its contract fails.
"""

from __future__ import annotations

import os
from typing import Annotated

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mainstay.core.plugin import Tagged
from mainstay.core.secret import Secret
from mainstay.edge import schemes
from mainstay.edge.schemes.base import CannotSign, Delivery, Headers, Refused, Scheme, Sending, Verified
from mainstay.edge.schemes.timed import Timed
from tests.edge.schemes.senders import BODIES, ID, NOW, URL, VENDORS, Sent, delivery, scheme_of

# Other tests may have types of their own in the same registry.
TYPES = sorted(name for name, cls in Scheme.registry.items() if cls.__module__.startswith(schemes.__name__))
PROVING = [name for name in TYPES if Scheme.registry[name].proves]
BODY_SIGNED = [name for name in PROVING if VENDORS[name].body_signed]
TIMED = [name for name in PROVING if VENDORS[name].timed]
WITH_HEADER = [name for name in PROVING if VENDORS[name].header]
PROPERTY = settings(
    max_examples=int(os.environ.get("MAINSTAY_FUZZ", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_every_scheme_has_a_sender() -> None:
    assert set(PROVING) == set(VENDORS)


@pytest.mark.parametrize("name", PROVING)
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_the_sender_signed_is_taken_byte_for_byte(name: str, body: bytes) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    verdict = scheme.verify(delivery(vendor.sent(body)), vendor.configured(), NOW)
    assert isinstance(verdict, Verified), verdict
    assert (verdict.secret, verdict.sent_at) == ("hook_1", NOW if vendor.timed else None)


@pytest.mark.parametrize("name", PROVING)
def test_either_of_two_secrets_will_do(name: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    old, new = vendor.configured()
    for which, secret in enumerate((old, new)):
        request = delivery(vendor.sent(BODIES[0], which))
        for both in ([old, new], [new, old], [secret]):
            verdict = scheme.verify(request, both, NOW)
            assert isinstance(verdict, Verified)
            assert verdict.secret == secret.name


@pytest.mark.parametrize("name", PROVING)
def test_another_sources_signature_is_refused(name: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    old, _ = vendor.configured()
    assert isinstance(scheme.verify(delivery(vendor.sent(BODIES[0], 1)), [old], NOW), Refused)
    assert isinstance(scheme.verify(delivery(vendor.sent(BODIES[0], 1)), [], NOW), Refused)


@pytest.mark.parametrize("name", PROVING)
def test_without_a_signature_it_is_refused(name: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    for body in (BODIES[0], b"", b"\x00\xff", b"a=b"):
        verdict = scheme.verify(delivery(Sent({}, body)), vendor.configured(), NOW)
        assert isinstance(verdict, Refused)
        assert verdict.why


@pytest.mark.parametrize("name", PROVING)
def test_a_change_to_the_secret_is_refused(name: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    others = [Secret(each.name, each.reveal()[:-2] + "AA") for each in vendor.configured()]
    assert isinstance(scheme.verify(delivery(vendor.sent(BODIES[0])), others, NOW), Refused)


@pytest.mark.parametrize("name", BODY_SIGNED)
@PROPERTY
@given(data=st.data())
def test_any_flipped_bit_of_the_body_is_refused(name: str, data: st.DataObject) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    sent = vendor.sent(data.draw(st.sampled_from(BODIES)))
    at = data.draw(st.integers(0, len(sent.body) * 8 - 1))
    changed = bytearray(sent.body)
    changed[at // 8] ^= 1 << at % 8
    verdict = scheme.verify(delivery(sent, body=bytes(changed)), vendor.configured(), NOW)
    assert isinstance(verdict, Refused)


@pytest.mark.parametrize("name", WITH_HEADER)
@PROPERTY
@given(data=st.data())
def test_any_flipped_bit_of_the_signature_is_refused(name: str, data: st.DataObject) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    sent = vendor.sent(BODIES[0])
    value = bytearray(sent.headers[vendor.header].encode())
    at = data.draw(st.integers(0, len(value) * 8 - 1))
    idle = sent.headers[vendor.header].find(vendor.idle) if vendor.idle else len(value)
    assume(not idle <= at // 8 < idle + len(vendor.idle))
    value[at // 8] ^= 1 << at % 8
    changed = {**sent.headers, vendor.header: value.decode("latin-1")}
    verdict = scheme.verify(delivery(Sent(changed, sent.body, sent.url)), vendor.configured(), NOW)
    assert isinstance(verdict, Refused)


@pytest.mark.parametrize("name", WITH_HEADER)
@PROPERTY
@given(data=st.data())
def test_a_signature_cut_short_or_run_on_is_refused(name: str, data: st.DataObject) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    sent = vendor.sent(BODIES[0])
    value = sent.headers[vendor.header]
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    for wrong in (cut, value + "A", "A" + value, value + "="):
        changed = {**sent.headers, vendor.header: wrong}
        verdict = scheme.verify(delivery(Sent(changed, sent.body, sent.url)), vendor.configured(), NOW)
        assert isinstance(verdict, Refused), wrong


@pytest.mark.parametrize("name", PROVING)
@PROPERTY
@given(
    body=st.binary(max_size=60),
    value=st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=80),
    query=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
def test_nothing_that_a_stranger_sends_raises(name: str, body: bytes, value: str, query: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    headers = dict.fromkeys(vendor.sent(BODIES[0]).headers, value)
    url = f"{URL}?{query}"
    for method in ("POST", "GET"):
        request = Delivery(method, "/source", query, Headers.of(headers.items()), body, "192.0.2.7", url)
        assert isinstance(scheme.verify(request, vendor.configured(), NOW), Refused)
        scheme.challenge(request, vendor.configured(), NOW)
        scheme.event_id(request)
        scheme.event_type(request)


@pytest.mark.parametrize("name", WITH_HEADER)
def test_a_signature_among_wrong_ones(name: str) -> None:
    """Whoever may send several is taken at one that is right; nobody is taken at a flood of them."""
    vendor, scheme = VENDORS[name], scheme_of(name)
    sent = vendor.sent(BODIES[0])
    pairs = [*sent.headers.items(), *[(vendor.header, "a wrong one")] * 200]
    request = delivery(sent, headers=Headers.of(pairs))
    assert isinstance(scheme.verify(request, vendor.configured(), NOW), Refused)


@pytest.mark.parametrize("name", TIMED)
def test_old_and_early_requests_are_refused(name: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    assert isinstance(scheme, Timed)

    def verdict(at: float) -> Verified | Refused:
        return scheme.verify(delivery(vendor.sent(BODIES[0], now=at)), vendor.configured(), NOW)

    assert isinstance(verdict(NOW - scheme.tolerance), Verified)
    assert isinstance(verdict(NOW + scheme.ahead), Verified)
    for at in (NOW - scheme.tolerance - 1, NOW + scheme.ahead + 1, 0.0, NOW * 2):
        refused = verdict(at)
        assert isinstance(refused, Refused)
        assert "was signed" in refused.why


@pytest.mark.parametrize("name", TIMED)
def test_a_copy_never_lives_for_twice_the_tolerance(name: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    assert isinstance(scheme, Timed)
    earliest = delivery(vendor.sent(BODIES[0], now=NOW + scheme.ahead))  # taken from NOW on
    assert scheme.life is not None
    assert scheme.life < 2 * scheme.tolerance
    assert isinstance(scheme.verify(earliest, vendor.configured(), NOW), Verified)
    assert isinstance(scheme.verify(earliest, vendor.configured(), NOW + scheme.life), Verified)
    assert isinstance(scheme.verify(earliest, vendor.configured(), NOW + scheme.life + 1), Refused)
    with pytest.raises(ValidationError, match="more than half"):
        scheme_of(name, tolerance=scheme.tolerance, ahead=scheme.tolerance)


@pytest.mark.parametrize("name", PROVING)
def test_a_scheme_says_how_long_a_copy_lives(name: str) -> None:
    assert (scheme_of(name).life is not None) == VENDORS[name].timed


@pytest.mark.parametrize("name", PROVING)
def test_its_secrets_are_found_right_and_broken_ones_do_not_raise(name: str) -> None:
    vendor, scheme = VENDORS[name], scheme_of(name)
    for secret in vendor.configured():
        assert scheme.fault(secret.reveal()) is None
    for broken in ("x", "é", "whsec_!", "whsk_", "whpk_AAAA", "-----BEGIN PUBLIC KEY-----"):
        request = delivery(vendor.sent(BODIES[0]))
        assert isinstance(scheme.verify(request, [Secret("broken", broken)], NOW), Refused)


@pytest.mark.parametrize("name", TYPES)
def test_what_we_send_for_a_test_we_take(name: str) -> None:
    vendor = VENDORS.get(name)
    scheme = scheme_of(name) if vendor else Scheme.registry[name]()
    secret = vendor.configured()[1] if vendor else Secret("unused", "unused")
    body = scheme.example(ID, "test.sent", NOW)
    sending = Sending(URL, body, id=ID, type="test.sent")
    if vendor and vendor.keys:
        with pytest.raises(CannotSign, match="public key"):
            scheme.outgoing(sending, secret, NOW)
        return
    sent = scheme.outgoing(sending, secret, NOW)
    request = delivery(Sent(dict(sent.headers), sent.body, sent.url))
    verdict = scheme.verify(request, [secret], NOW)
    assert isinstance(verdict, Verified), verdict
    assert scheme.challenge(request, [secret], NOW) is None
    event = scheme.event_id(request)
    assert event is None or ID in event
    assert scheme.event_type(request) in (None, "test.sent")


@pytest.mark.parametrize("name", TYPES)
def test_two_test_events_are_not_taken_for_copies(name: str) -> None:
    vendor = VENDORS.get(name)
    scheme = scheme_of(name) if vendor else Scheme.registry[name]()
    if vendor and vendor.keys:
        pytest.skip("only the vendor can sign")
    secret, known_by = (vendor.configured()[1] if vendor else Secret("unused", "unused")), set()
    for id in ("test_1", "test_2"):  # noqa: A001 -- what everybody calls it
        sent = scheme.outgoing(Sending(URL, scheme.example(id, None, NOW), id=id), secret, NOW)
        request = delivery(Sent(dict(sent.headers), sent.body, sent.url))
        known_by.add(scheme.event_id(request) or sent.body)
    assert len(known_by) == 2


@pytest.mark.parametrize("name", TYPES)
def test_it_is_configured_by_its_name(name: str) -> None:
    options = VENDORS[name].options if name in VENDORS else {}
    adapter: TypeAdapter[Scheme] = TypeAdapter(Annotated[Scheme, Tagged(Scheme)])
    written = {name: options} if options else name
    assert type(adapter.validate_python(written)) is Scheme.registry[name]
