"""Does a port answer, and what does it say?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.checks import TcpCheck
from mainstay.core.check import Answer, Check, Verdict
from tests.places import Say
from tests.servers.process import free_port
from tests.servers.smtp import SmtpSink

Ask = Callable[[Check], Awaitable[Answer]]


async def test_an_open_port_is_ok(say: Say, ask: Ask) -> None:
    answer = await ask(TcpCheck(address=f"127.0.0.1:{await say(b'')}"))
    assert answer.verdict is Verdict.OK
    assert answer.detail.startswith("answers in ")
    assert answer.facts.keys() == {"dns", "connect"}


async def test_a_closed_port_is_refused(ask: Ask) -> None:
    port = free_port()
    answer = await ask(TcpCheck(address=f"127.0.0.1:{port}"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail == f"connection refused by 127.0.0.1:{port}"
    assert answer.facts["cause"] == "refused"


async def test_a_talk_with_a_mail_server(smtp: SmtpSink, ask: Ask) -> None:
    check = TcpCheck(address=f"127.0.0.1:{smtp.port}", send="QUIT\r\n", expect="\r\n221 ")
    answer = await ask(check)
    assert answer.verdict is Verdict.OK, answer.detail
    assert answer.facts["first_byte"] > 0


async def test_another_answer_is_told(say: Say, ask: Ask) -> None:
    answer = await ask(TcpCheck(address=f"127.0.0.1:{await say(b'-ERR no')}", expect="+OK"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail == "expected '+OK', got '-ERR no' and the end of the connection"


async def test_silence_is_a_time_out_of_theirs(say: Say, ask: Ask) -> None:
    port = await say(b"", hang=True)
    answer = await ask(TcpCheck(address=f"127.0.0.1:{port}", expect="+OK", timeout=0.1))
    assert answer.detail == f"timed out after 100ms waiting for the answer of 127.0.0.1:{port}"
    assert answer.facts["cause"] == "slow"


async def test_an_endless_talker_is_not_listened_to_for_ever(say: Say, ask: Ask) -> None:
    port = await say(b"x" * 3_000_000, hang=True)
    answer = await ask(TcpCheck(address=f"127.0.0.1:{port}", expect="y"))
    assert answer.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "address", ["example.com", "example.com:0", "example.com:65536", "::1:80", "a b:80", ":80"]
)
def test_addresses_that_are_none(address: str) -> None:
    options: dict[str, Any] = {"address": address}
    with pytest.raises(ValidationError, match="write it like example"):
        TcpCheck.model_validate(options)


def test_an_address_in_brackets() -> None:
    assert TcpCheck(address="[::1]:80").host() == "::1"
