"""Certificates of every age and kind, on real TLS servers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from mainstay.checks import CertificateCheck
from mainstay.core.check import Answer, Check, Verdict
from tests.places import Say
from tests.servers.authority import Authority
from tests.servers.process import free_port

Ask = Callable[[Check], Awaitable[Answer]]
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


async def asked(say: Say, authority: Authority, ask: Ask, *names: str, **wrong: object) -> Answer:
    options = {key: wrong.pop(key) for key in ("warn", "fail", "server_name") if key in wrong}
    port = await say(b"", tls=authority.issue(*names, **wrong), hang=True)  # type: ignore[arg-type]
    return await ask(
        CertificateCheck.model_validate({"address": f"localhost:{port}", "ca": authority.ca, **options})
    )


async def test_a_good_certificate_and_its_facts(say: Say, authority: Authority, ask: Ask) -> None:
    answer = await asked(say, authority, ask, "localhost", "www.example.com", left=60 * DAY)
    assert answer.verdict is Verdict.OK, answer.detail
    assert answer.detail.startswith("the certificate of localhost is valid for 59d 23h, until 20")
    assert answer.facts["names"] == ["localhost", "www.example.com"]
    assert answer.facts["issuer"] == "CN=An authority for tests"
    assert 59.9 < answer.facts["days_left"] < 60.1
    assert abs(answer.facts["not_after"] - time.time() - 60 * 86400) < 60
    assert int(answer.facts["serial"], 16) > 0


@pytest.mark.parametrize(
    ("age", "left", "verdict"),
    [
        (80 * DAY, 15 * DAY, Verdict.OK),
        (80 * DAY, 13 * DAY, Verdict.WARN),
        (80 * DAY, 6 * DAY, Verdict.FAIL),
        (4 * DAY, 2 * DAY, Verdict.OK),
        (5 * DAY, 1 * DAY, Verdict.WARN),
        (5.5 * DAY, 0.5 * DAY, Verdict.FAIL),
        (18 * HOUR, 7 * HOUR, Verdict.OK),
        (18 * HOUR, 5 * HOUR, Verdict.WARN),
    ],
)
async def test_days_left_are_judged_by_the_lifetime(
    say: Say, authority: Authority, ask: Ask, age: timedelta, left: timedelta, verdict: Verdict
) -> None:
    answer = await asked(say, authority, ask, age=age, left=left)
    assert answer.verdict is verdict, answer.detail


async def test_bounds_of_ones_own(say: Say, authority: Authority, ask: Ask) -> None:
    answer = await asked(say, authority, ask, left=20 * DAY, warn="30d", fail="2d")
    assert answer.verdict is Verdict.WARN
    assert answer.detail.endswith(": less than 30d")
    answer = await asked(say, authority, ask, left=1 * DAY, warn="0s", fail="0s")
    assert answer.verdict is Verdict.OK


async def test_expired_says_when(say: Say, authority: Authority, ask: Ask) -> None:
    answer = await asked(say, authority, ask, age=90 * DAY, left=-2 * DAY)
    assert answer.verdict is Verdict.FAIL
    assert answer.detail.startswith("the certificate of localhost expired on 20")
    assert answer.facts["not_after"] < time.time()
    assert answer.facts["cause"] == "certificate"


async def test_another_name(say: Say, authority: Authority, ask: Ask) -> None:
    answer = await asked(say, authority, ask, "erp.example.com")
    assert answer.detail == "the certificate is not for localhost"
    assert answer.facts["names"] == ["erp.example.com"]
    answer = await asked(say, authority, ask, "erp.example.com", server_name="erp.example.com")
    assert answer.verdict is Verdict.OK, answer.detail


async def test_nobody_signed_it(say: Say, authority: Authority, ask: Ask) -> None:
    answer = await asked(say, authority, ask, self_signed=True)
    assert "signed by itself" in answer.detail


async def test_nobody_there_and_no_tls(say: Say, ask: Ask) -> None:
    answer = await ask(CertificateCheck(address=f"localhost:{free_port()}"))
    assert answer.detail.startswith("connection refused by localhost:")
    answer = await ask(CertificateCheck(address=f"localhost:{await say(b'', hang=True)}", timeout=0.2))
    assert answer.detail.startswith("timed out after 200ms agreeing on TLS with localhost:")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("example.com", "example.com:443"),
        ("example.com:8443", "example.com:8443"),
        ("[2001:db8::1]", "[2001:db8::1]:443"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
    ],
)
def test_the_port_of_https_may_be_left_out(written: str, asked: str) -> None:
    assert CertificateCheck.model_validate({"address": written}).target() == asked


@pytest.mark.parametrize("wrong", ["https://example.com", "example.com:", "example.com:99999", "", "a b"])
def test_what_is_no_address_is_told_with_the_right_port(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"write it like example\.com:443"):
        CertificateCheck.model_validate({"address": wrong})
