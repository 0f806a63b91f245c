"""What is put off until the end of a round of the loop is sent then, in order, and is never lost."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mainstay.edge.http.burst import Burst
from tests.edge.door import Answering, calling, serving

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_actions_run_once_in_order_when_the_round_is_over() -> None:
    burst, done = Burst(), list[int]()
    burst.add(lambda: done.append(1))
    burst.add(lambda: done.append(2))
    assert done == []
    await asyncio.sleep(0)
    assert done == [1, 2]
    burst.add(lambda: done.append(3))
    await asyncio.sleep(0)
    assert done == [1, 2, 3]


async def test_what_is_added_by_an_action_runs_in_the_next_round() -> None:
    burst, done = Burst(), list[str]()

    def again() -> None:
        done.append("first")
        burst.add(lambda: done.append("second"))

    burst.add(again)
    await asyncio.sleep(0)
    assert done == ["first"]
    await asyncio.sleep(0)
    assert done == ["first", "second"]


@pytest.mark.parametrize("requests", [1, 3])
async def test_who_says_no_more_right_behind_his_requests_gets_every_answer(requests: int) -> None:
    handler = Answering(lambda exchange: exchange.respond(200, [], b"hello"))
    async with serving(handler) as server:
        host, port = server.address
        sock = socket.create_connection((host, port))
        sock.sendall(GET * requests)
        sock.shutdown(socket.SHUT_WR)  # request and end are there before the server looks
        reader, writer = await asyncio.open_connection(sock=sock)
        assert (await asyncio.wait_for(reader.read(), 10)).count(b"hello") == requests
        writer.close()


async def test_answers_stay_in_order_before_one_that_ends_the_connection() -> None:
    handler = Answering(lambda exchange: exchange.respond(200, [], exchange.head.path))
    async with serving(handler) as server, calling(server) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n")
        said = await client.ended()
        assert [line for line in said.split(b"\r\n") if line.startswith((b"HTTP", b"/"))] == [
            b"HTTP/1.1 200 OK",
            b"/1HTTP/1.1 200 OK",
            b"/2HTTP/1.1 400 Bad Request",
        ]
