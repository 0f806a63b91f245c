"""Every vector of `tests/edge/vectors/requests.toml`: what is answered, what reaches a handler, whether it goes on."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.edge.door import Client, Ledger, calling, serving
from tests.edge.problems import problem

FILE = Path(__file__).parent.parent / "vectors" / "requests.toml"
REPEATED = re.compile(r"\{(.*?)\*(\d+)\}", re.DOTALL)
PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass(frozen=True)
class Vector:
    name: str
    send: bytes
    statuses: list[int]
    seen: list[bytes]
    open: bool


def raw(text: str) -> bytes:
    """The bytes that a text of the file means."""
    return REPEATED.sub(lambda found: found[1] * int(found[2]), text).encode("latin-1")


def vectors() -> list[Vector]:
    made = []
    for topic, cases in tomllib.loads(FILE.read_text()).items():
        for name, case in cases.items():
            statuses = case["status"] if isinstance(case["status"], list) else [case["status"]]
            seen = [raw(each) for each in case.get("seen", [])]
            goes_on = case.get("open", set(statuses) == {200})
            made.append(Vector(f"{topic}: {name}", raw(case["send"]), statuses, seen, goes_on))
    return made


ALL = vectors()


def test_there_are_enough_of_them() -> None:
    assert len(ALL) >= 120
    assert len({vector.send for vector in ALL}) == len(ALL)


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
async def test_vector(vector: Vector) -> None:
    ledger = Ledger()
    async with serving(ledger) as server, calling(server) as client:
        client.send(vector.send)
        await judge(vector, ledger, client)


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
async def test_vector_whose_header_lines_are_remembered(vector: Vector) -> None:
    async with serving(Ledger()) as server:
        for _ in range(3):  # noted, kept, used
            ledger = server.handler = Ledger()
            async with calling(server) as client:
                client.send(vector.send)
                await judge(vector, ledger, client)
        assert server.blocks is not None
        assert server.blocks.hits or not vector.seen or b"HTTP/1.0" in vector.send


async def judge(vector: Vector, ledger: Ledger, client: Client) -> None:
    method = vector.send.split()[0] if vector.send.startswith(b"HEAD") else b"GET"
    answers = [await client.answer(method) for _ in vector.statuses]
    assert [status for status, _, _ in answers] == vector.statuses
    for status, headers, body in answers:
        if status >= 400 and method != b"HEAD":
            assert "request_id" not in problem(status, headers, body)
    assert ledger.seen == vector.seen
    if vector.open:
        client.send(PROBE)
        assert (await client.answer())[0] == 200
        assert ledger.seen[-1] == b"GET /probe"
    else:
        assert await client.ended() == b""
        closes = vector.statuses[-1] != 200 or vector.send.count(b"HTTP/1.1")
        assert answers[-1][1].get(b"connection") == b"close" or not closes
