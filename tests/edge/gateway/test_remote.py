"""A service that is asked whose a token is: at most once at a time, not for long, and 503 when it is in trouble."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mainstay.edge.gateway.policy import Admit, Deny
from mainstay.edge.gateway.settings import GatewaySettings
from tests.edge.gateway.conftest import WALL, Read
from tests.edge.gateway.house import house, publish
from tests.edge.gateway.minting import SECRET, Mint
from tests.helpers import aeventually
from tests.servers.recorder import Recorder


def policy(read: Read, recorder: Recorder, **more: Any) -> GatewaySettings:
    remote = {"url": f"{recorder.url}/validate", "ttl": 60, "timeout": 0.3, **more}
    return read(
        {"routes": [{}], "plans": {"free": "100/min", "paid": "unlimited"}, "auth": {"remote": remote}}
    )


def knows(recorder: Recorder, user: Any = "alice", plan: Any = "paid", **how: Any) -> None:
    recorder.answer(200, json.dumps({"user_id": user, "plan": plan}).encode(), **how)


async def test_it_is_asked_and_believed_for_a_while(read: Read, recorder: Recorder, tmp_path: Path) -> None:
    knows(recorder)
    async with house(policy(read, recorder, secret={"secret": "ours"}), tmp_path) as ours:
        found = await ours.bearer("opaque")
        assert isinstance(found, Admit)
        assert (found.subject, found.plan) == ("alice", "paid")
        (asked,) = recorder.requests
        assert asked.json() == {"token": "opaque"}
        assert asked.headers["authorization"] == f"Bearer {SECRET}"
        assert isinstance(ours.decide(("authorization", "Bearer opaque")), Admit)
        recorder.answer(401)
        await ours.clock.advance(61)
        assert await ours.status("opaque") == 401
        assert len(recorder.requests) == 2


async def test_a_bad_answer_is_believed_for_less(read: Read, recorder: Recorder, tmp_path: Path) -> None:
    recorder.answer(404)
    async with house(policy(read, recorder, bad_ttl=10), tmp_path) as ours:
        assert [await ours.status("opaque") for _ in range(3)] == [401] * 3
        assert len(recorder.requests) == 1
        knows(recorder)
        await ours.clock.advance(11)
        assert await ours.status("opaque") == 200


async def test_many_who_ask_at_once_are_one_question(read: Read, recorder: Recorder, tmp_path: Path) -> None:
    knows(recorder, delay=0.05)
    async with house(policy(read, recorder), tmp_path) as ours:
        assert await ours.many("opaque", 50) == {200}
        assert len(recorder.requests) == 1


TROUBLE: dict[str, Any] = {
    "in trouble": lambda server: server.answer(500),
    "redirecting": lambda server: server.answer(302, headers={"Location": "http://127.0.0.1:1/"}),
    "hanging": lambda server: server.hang(),
    "dropping": lambda server: server.drop(),
    "gone": lambda server: server.refuse(),
    "nonsense": lambda server: server.answer(200, b"<html>"),
    "a list": lambda server: server.answer(200, b"[]"),
    "nobody": lambda server: server.answer(200, b"{}"),
    "a name that breaks headers": lambda server: knows(server, "a\r\nX-User-Plan: paid"),
    "endless": lambda server: server.answer(200, b" " * 100_000),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_its_trouble_is_not_the_client_s(
    read: Read, recorder: Recorder, tmp_path: Path, trouble: str
) -> None:
    async with house(policy(read, recorder), tmp_path) as ours:
        TROUBLE[trouble](recorder)
        found = await ours.bearer("opaque")
        assert isinstance(found, Deny)
        assert (found.status, found.why) == (503, "auth_down")
        assert dict(found.headers)[b"retry-after"] == b"1"


async def test_whoever_was_believed_goes_on_while_it_is_gone(
    read: Read, recorder: Recorder, tmp_path: Path
) -> None:
    knows(recorder)
    async with house(policy(read, recorder), tmp_path) as ours:
        assert await ours.status("opaque") == 200
        recorder.refuse()
        assert await ours.status("opaque") == 200
        assert await ours.status("another") == 503


async def test_no_more_than_so_many_questions_are_open(
    read: Read, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.hang()
    async with house(policy(read, recorder, most=2, timeout=1), tmp_path) as ours:
        found = await asyncio.gather(*(ours.bearer(f"token{n}") for n in range(10)))
        assert all(isinstance(one, Deny) and one.status == 503 for one in found)
        assert len(recorder.requests) <= 2


async def test_who_has_gone_stops_nobody_else(read: Read, recorder: Recorder, tmp_path: Path) -> None:
    knows(recorder, delay=0.1)
    async with house(policy(read, recorder), tmp_path) as ours:
        gone = ours.decide(("authorization", "Bearer opaque"))
        assert not isinstance(gone, Admit | Deny)
        other = ours.decide(("authorization", "Bearer opaque"))
        assert not isinstance(other, Admit | Deny)
        gone.verdict.cancel()
        assert isinstance(await other, Admit)


async def test_guesses_run_out_before_it_is_asked(read: Read, recorder: Recorder, tmp_path: Path) -> None:
    recorder.answer(401)
    settings = policy(read, recorder).model_copy(
        update={"bad_credentials": read({"routes": [{}], "bad_credentials": "5/min"}).bad_credentials}
    )
    async with house(settings, tmp_path) as ours:
        found = [await ours.status(f"guess{n}") for n in range(20)]
        assert found == [401] * 5 + [429] * 15
        assert len(recorder.requests) == 5


async def test_a_token_of_a_known_issuer_is_not_shown_to_it(
    read: Read, recorder: Recorder, make_recorder: Any, mint: Mint, tmp_path: Path
) -> None:
    keys = make_recorder()
    publish(keys, mint.jwk("es"))
    knows(recorder, "from-afar")
    data = {
        "routes": [{}],
        "auth": {
            "tokens": [{"issuer": "https://auth.example.com", "jwks": f"{keys.url}/"}],
            "remote": {"url": recorder.url},
        },
    }
    async with house(read(data), tmp_path) as ours:
        assert await ours.status(mint.token(WALL, key="es")) == 200
        assert await ours.status(mint.token(WALL, key="es", forge="bit")) == 401
        assert recorder.requests == []
        found = await ours.bearer(mint.token(WALL, key="es", iss="https://elsewhere.example.com"))
        assert isinstance(found, Admit)
        assert found.subject == "from-afar"


async def test_a_slow_answer_counts_by_the_time_when_it_came(
    read: Read, recorder: Recorder, tmp_path: Path
) -> None:
    knows(recorder, plan="free", delay=0.05)
    async with house(policy(read, recorder), tmp_path) as ours:
        waiting = [ours.decide(("authorization", "Bearer opaque")) for _ in range(130)]
        await aeventually(
            lambda: all(not isinstance(one, Admit | Deny) and one.verdict.done() for one in waiting)
        )
        found = [one.verdict.result() for one in waiting if not isinstance(one, Admit | Deny)]
        assert sum(isinstance(one, Admit) for one in found) == 100
