"""The policy's word is done: refused, let through, or waited for with the body unread."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mainstay.edge.gateway.policy import Admit, Ask, Decision, Deny, Pending, Verdict
from tests.edge.origins import raw_origin, reset
from tests.edge.proxy.parts import HOST, read_answer, route, running
from tests.helpers import aeventually


@dataclass
class Says:
    """A policy that says what it is told to."""

    decision: Decision
    asks: list[Ask] = field(default_factory=list)

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        self.asks.append(ask)
        return self.decision

    def signature(self, method: bytes, target: bytes, admitted: Admit, wall: float) -> None:
        return None


LIMITED = Deny(
    429, [(b"retry-after", b"7"), (b"x-ratelimit-limit", b"100")], b"slow down", "plan_limited", "bob", "free"
)


async def test_a_refusal_is_answered_in_the_origin_s_stead() -> None:
    async with raw_origin() as origin, running(route(origin.url), policy=Says(LIMITED)) as gateway:
        said = await gateway.get(method=b"POST", body=b"abc")
        assert said.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 7\r\n" in said
        assert said.endswith(b"slow down")
        assert origin.calls == []
        (note,) = gateway.notes
        assert (note["why"], note["user"], note["plan"]) == ("plan_limited", "bob", "free")


async def test_a_refusal_can_end_the_connection() -> None:
    closing = Deny(401, [], b"", "forged", close=True)
    async with running(route([]), policy=Says(closing)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        async with asyncio.timeout(10):
            said = await reader.read()
        assert said.count(b"HTTP/1.1 401 ") == 1
        assert b"connection: close\r\n" in said.lower()
        assert len(gateway.policy.asks) == 1
        writer.close()


async def test_what_the_policy_is_asked() -> None:
    async with running(route([]), policy=Says(LIMITED)) as gateway:
        await gateway.get(b"/a%20b?c=d", b"X-One: 1", method=b"DELETE")
    (ask,) = gateway.policy.asks
    assert (ask.method, ask.host, ask.path) == (b"DELETE", b"api.example.com", b"/a%20b")
    assert (b"x-one", b"1") in ask.headers
    assert (ask.peer, ask.secure, ask.certificate) == ("127.0.0.1", False, None)
    assert ask.request_id


async def test_a_request_waits_for_the_policy_with_its_body_unread() -> None:
    async with raw_origin() as origin:
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        async with running(route(origin.url), policy=Says(Pending(verdict))) as gateway:
            reader, writer = await gateway.connect()
            writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9000000\r\n\r\n")
            writer.write(b"x" * 9_000_000)
            await aeventually(lambda: gateway.policy.asks)
            for _ in range(50):
                await asyncio.sleep(0)
            assert origin.calls == []
            assert writer.transport.get_write_buffer_size() > 0  # the gateway has not taken all of it
            verdict.set_result(
                Admit(gateway.plane.groups[next(iter(gateway.plane.groups))].route, [], [], "a", "b")
            )
            assert len((await read_answer(reader))[1]) == 9_000_000
            writer.close()


async def test_a_request_can_be_refused_after_the_policy_thought() -> None:
    verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    async with running(route([]), policy=Says(Pending(verdict))) as gateway:
        asking = asyncio.create_task(gateway.get())
        await aeventually(lambda: gateway.policy.asks)
        verdict.set_result(LIMITED)
        assert (await asking).startswith(b"HTTP/1.1 429 ")


async def test_who_leaves_while_the_policy_thinks_costs_the_origin_nothing() -> None:
    async with raw_origin() as origin:
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        async with running(route(origin.url), policy=Says(Pending(verdict))) as gateway:
            _, writer = await gateway.connect()
            writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            await aeventually(lambda: gateway.policy.asks)
            reset(writer)
            await aeventually(lambda: not gateway.server._connections)
            (group,) = gateway.plane.groups.values()
            verdict.set_result(Admit(group.route, [], [], None, None))
            for _ in range(20):
                await asyncio.sleep(0)
            assert origin.calls == []


async def test_headers_of_the_policy_are_on_faults_too() -> None:
    closed = route("http://127.0.0.1:1")
    admit = Admit(
        closed, [], [(b"x-ratelimit-limit", b"100"), (b"access-control-allow-origin", b"*")], "a", "b"
    )
    async with running(closed, policy=Says(admit)) as gateway:
        said = await gateway.get()
        assert said.startswith(b"HTTP/1.1 502 ")
        assert b"\r\nx-ratelimit-limit: 100\r\n" in said
        assert b"\r\naccess-control-allow-origin: *\r\n" in said
