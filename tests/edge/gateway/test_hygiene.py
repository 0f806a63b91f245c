"""What an origin never sees of a client."""

from __future__ import annotations

import pytest

from mainstay.edge.gateway.hygiene import clean, safe

FORGERIES = [
    b"x-user-id", b"x-user-plan", b"x-user-anything", b"x-forwarded-for", b"x-forwarded-user", b"forwarded",
    b"x_user_id", b"x-user_id", b"x-real-ip", b"x-request-id", b"x-mainstay-signature", b"x-original-url",
    b"x-rewrite-url", b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade",
    b"transfer-encoding", b"http2-settings", b"proxy-authorization",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES, ids=bytes.decode)
def test_a_forgery_is_dropped(name: bytes) -> None:
    kept = (b"accept", b"*/*")
    assert clean([kept, (name, b"1"), kept]) == [kept, kept]


def test_connection_takes_its_own_away_and_nothing_that_a_rule_reads() -> None:
    headers = [
        (b"connection", b"close, X-Mine"),
        (b"x-mine", b"1"),
        (b"authorization", b"a"),
        (b"connection", b"authorization, cookie ,content-length"),
        (b"content-length", b"3"),
    ]
    assert clean(headers) == [(b"authorization", b"a"), (b"content-length", b"3")]


def test_credentials_are_dropped_where_that_is_asked() -> None:
    assert clean([(b"authorization", b"a"), (b"b", b"c")], {b"authorization"}) == [(b"b", b"c")]


@pytest.mark.parametrize("value", ["", "a b", "a\r\nX-Evil: 1", "a\0", "ü", "x" * 257, "\x7f", "a\t"])
def test_what_would_break_a_header_is_not_put_into_one(value: str) -> None:
    assert safe(value) is None


def test_what_is_visible_is_put_into_a_header() -> None:
    assert safe("auth0|abc-123@example.com") == b"auth0|abc-123@example.com"
