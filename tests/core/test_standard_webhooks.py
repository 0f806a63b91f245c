"""Signatures of Standard Webhooks: the published example, and keys as they are written."""

from __future__ import annotations

import pytest

from mainstay.core.standard_webhooks import key_of, signature, signed


def test_the_published_example_comes_out() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    content = signed(b"msg_p5jXN8AQM9LWM0D4loKWxJek", b"1614265330", b'{"test": 2432232314}')
    assert signature(key, content) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_base64_only_where_it_says_so() -> None:
    assert key_of("whsec_AAAA") == b"\0\0\0"
    assert key_of("AAAA") == b"AAAA"
    with pytest.raises(ValueError, match="is not base64"):
        key_of("whsec_nö")
