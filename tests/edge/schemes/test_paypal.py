"""PayPal: what is pinned counts, whatever a request says; and the wrong file is found before it is needed."""

from __future__ import annotations

import pytest

from mainstay.core.secret import Secret
from mainstay.edge.schemes.base import Refused, Verified
from tests.edge.schemes.senders import (
    BODIES,
    NOW,
    PAYPAL,
    PAYPAL_WEBHOOK,
    certified,
    delivery,
    paypal,
    scheme_of,
)

BODY = b'{"id":"WH-9UG43882HX7271132","event_type":"PAYMENT.SALE.COMPLETED","resource":{"amount":{"total":"21.00"}}}'
PINNED = [Secret("paypal", PAYPAL[0][0])]


def verdict(
    secrets: list[Secret] = PINNED, key: str = PAYPAL[0][1], changed: dict[str, str | None] | None = None
) -> Verified | Refused:
    sent = paypal(BODY, key, NOW)
    for name, value in (changed or {}).items():
        wanted = f"PAYPAL-{name.upper().replace('_', '-')}"
        wanted = next(one for one in sent.headers if one.upper() == wanted)
        if value is None:
            del sent.headers[wanted]
        else:
            sent.headers[wanted] = value
    return scheme_of("paypal").verify(delivery(sent), secrets, NOW)


def test_an_event_is_known_by_its_id_and_type() -> None:
    request = delivery(paypal(BODY, PAYPAL[0][1], NOW))
    scheme = scheme_of("paypal")
    assert scheme.verify(request, PINNED, NOW) == Verified("paypal", NOW)
    assert (scheme.event_id(request), scheme.event_type(request)) == (
        "WH-9UG43882HX7271132",
        "PAYMENT.SALE.COMPLETED",
    )


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"transmission_sig": None}, "no signature"),
        ({"transmission_sig": "AAAA"}, "does not match"),
        ({"transmission_id": None}, "no identifier"),
        ({"transmission_id": "a|b"}, "no identifier"),
        ({"transmission_id": "another"}, "does not match"),
        ({"transmission_time": "2027-01-15T08:00:01Z"}, "does not match"),
        ({"auth_algo": "SHA1withRSA"}, "does not say SHA256withRSA"),
        ({"auth_algo": None}, "does not say SHA256withRSA"),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused(headers: dict[str, str | None], why: str) -> None:
    found = verdict(changed=headers)
    assert isinstance(found, Refused)
    assert why in found.why


def test_a_certificate_that_the_request_names_counts_for_nothing() -> None:
    """A forger signs with a key of their own, and names the address of a certificate that fits it."""
    mine = certified()
    assert isinstance(
        verdict(key=mine[1], changed={"cert_url": "https://api.paypal.com/v1/notifications/certs/CERT-2"}),
        Refused,
    )
    assert isinstance(verdict([Secret("other", mine[0])]), Refused)


def test_another_webhook_of_the_same_account_is_another_source() -> None:
    request = delivery(paypal(BODY, PAYPAL[0][1], NOW))
    other = scheme_of("paypal", webhook_id=PAYPAL_WEBHOOK[::-1])
    assert isinstance(other.verify(request, PINNED, NOW), Refused)


def test_a_certificate_that_has_ended_proves_nothing() -> None:
    ended, key = certified(until=2026)
    found = verdict([Secret("old", ended)], key)
    assert isinstance(found, Refused)
    assert "has expired" in found.why
    assert verdict([Secret("old", ended), *PINNED]) == Verified("paypal", NOW)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("a secret", "no certificate"),
        (PAYPAL[0][1], "no certificate"),
        (certified("www.example.com")[0], "not a certificate of paypal.com"),
        (certified("evilpaypal.com")[0], "not a certificate of paypal.com"),
        (certified(bits=1024)[0], "RSA of 2048 bits"),
    ],
    ids=["words", "a key", "another host", "a host that looks like it", "short"],
)
def test_the_wrong_file_is_found_before_it_is_needed(secret: str, said: str) -> None:
    fault = scheme_of("paypal").fault(secret)
    assert fault is not None
    assert said in fault
    assert scheme_of("paypal").fault(PAYPAL[0][0]) is None


def test_the_very_bytes_are_summed() -> None:
    for body in BODIES:
        request = delivery(paypal(body, PAYPAL[0][1], NOW))
        assert scheme_of("paypal").verify(request, PINNED, NOW) == Verified("paypal", NOW)
        request.body += b" "
        assert isinstance(scheme_of("paypal").verify(request, PINNED, NOW), Refused)
