"""Origins and clients that do everything wrong at random: nobody ever gets an answer that was meant for another one."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable

import pytest

from tests.edge.origins import Call, answer, raw_origin, reset
from tests.edge.proxy.parts import HOST, Running, read_answer, route, running
from tests.helpers import aeventually

ROUNDS = int(os.environ.get("MAINSTAY_FUZZ", "300"))
TOKEN = re.compile(rb"/token-(\d+)-")

SMALL = 200
"""Bytes that surely leave at once: what is said unasked must come before the next request goes out."""

Prank = Callable[[Call, bytes, random.Random], Awaitable[bool]]
"""Answers a request whose token is given; false when the connection is over."""


async def whole(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(answer(body))
    return True


async def chunked(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    cut = dice.randrange(1, len(body))
    for piece in (body[:cut], body[cut:]):
        await call.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await call.send(b"0\r\n\r\n")
    return True


async def drips(call: Call, body: bytes, dice: random.Random) -> bool:
    for byte in answer(body):
        await call.send(bytes([byte]))
    return True


async def until_close(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
    return False


async def says_it_closes(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(answer(body, b"Connection: close"))
    return False


async def dies_before(call: Call, body: bytes, dice: random.Random) -> bool:
    return False


async def dies_within_the_head(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(answer(body)[: dice.randrange(1, 30)])
    return False


async def dies_within_the_body(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(answer(body)[:-1])
    return False


async def resets(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(answer(body)[: dice.randrange(1, 50)])
    call.reset()
    return False


async def says_more(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(answer(body[:SMALL]) + answer(b"/token-666-"))
    return True


async def says_more_apart(call: Call, body: bytes, dice: random.Random) -> bool:
    # Any later, and nobody could tell it from the answer to the request that follows.
    call.writer.write(answer(body[:SMALL]))
    call.writer.write(answer(b"/token-666-"))
    return True


async def closes_after(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(answer(body))
    return False


async def nonsense(call: Call, body: bytes, dice: random.Random) -> bool:
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    return True


PRANKS: list[Prank] = [
    whole, whole, whole, chunked, drips, until_close, says_it_closes, dies_before, dies_within_the_head,
    dies_within_the_body, resets, says_more, says_more_apart, closes_after, nonsense,
]  # fmt: skip


def prankster(dice: random.Random) -> Callable[[Call], Awaitable[None]]:
    async def behave(call: Call) -> None:
        goes_on = True
        while goes_on:
            head = await call.head()
            lengths = re.findall(rb"\r\ncontent-length: (\d+)", head)
            early = lengths and dice.random() < 0.2  # answers before the body has come
            if lengths and not early:
                await call.exactly(int(lengths[0]))
            found = TOKEN.search(head)
            body = (found[0] if found else b"?") + b"x" * dice.choice([0, 10, 70_000])
            goes_on = await dice.choice(PRANKS)(call, body, dice) and not early

    return behave


class Customer:
    """One client with one connection at a time; it notes what was answered to what."""

    def __init__(self, gateway: Running, number: int, dice: random.Random) -> None:
        self.gateway = gateway
        self.number = number
        self.dice = dice
        self.right = self.failed = 0

    async def shop(self, rounds: int) -> None:
        reader, writer = await self.gateway.connect()
        for count in range(rounds):
            token = b"/token-%d-" % (self.number * 1_000_000 + count)
            writer.write(self._request(token))
            if self.dice.random() < 0.05:  # leaves without waiting
                reset(writer)
                reader, writer = await self.gateway.connect()
                continue
            try:
                async with asyncio.timeout(20):
                    head, body = await read_answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.failed += 1
                writer.close()
                reader, writer = await self.gateway.connect()
                continue
            self._judge(head, body, token)
            if b"connection: close" in head.lower():
                writer.close()
                reader, writer = await self.gateway.connect()
        writer.close()

    def _request(self, token: bytes) -> bytes:
        if self.dice.random() < 0.3:
            size = self.dice.choice([1, 5000, 100_000])
            return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (token, HOST, size, b"b" * size)
        return b"GET %b HTTP/1.1\r\n%b\r\n" % (token, HOST)

    def _judge(self, head: bytes, body: bytes, token: bytes) -> None:
        if head.startswith(b"HTTP/1.1 200 "):
            assert body.startswith(token), (head, body[:100], token)
            assert not body[len(token) :].strip(b"x")
            self.right += 1
        else:
            assert head[9:12] in (b"502", b"503"), head
            self.failed += 1


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_gets_an_answer_that_was_meant_for_another(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(seed)
    async with (
        raw_origin(prankster(dice)) as one,
        raw_origin(prankster(dice)) as other,
        running(route([one.url, other.url], carry={"eject_after": 1000})) as gateway,
    ):
        customers = [Customer(gateway, number, dice) for number in range(8)]
        await asyncio.gather(*(customer.shop(ROUNDS // 24 + 1) for customer in customers))
        right = sum(customer.right for customer in customers)
        assert right > ROUNDS // 8
        (group,) = gateway.plane.groups.values()
        await aeventually(lambda: all(origin.active == 0 for origin in group.origins))
        # A connection that was of use to nobody any more is not kept, and one that is kept is idle.
        await aeventually(
            lambda: all(
                upstream.asker is None and upstream in origin._idle
                for origin in group.origins
                for upstream in origin._open
            )
        )
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
