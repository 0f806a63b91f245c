"""Every request vector through the whole gateway, judged on the bytes that the origin saw: none may be dirty."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.edge.door import SMALL, Client
from tests.edge.http.test_vectors import FILE, PROBE, raw
from tests.edge.origins import Call, RawOrigin, answer, raw_origin
from tests.edge.proxy.judge import Dirty, read_strictly, read_with_h11
from tests.edge.proxy.parts import Open, Running, route, running


def cases() -> dict[str, dict[str, Any]]:
    return {
        f"{file}: {topic}: {name}": case
        for file in ("requests", "forwards")
        for topic, named in tomllib.loads((FILE.parent / f"{file}.toml").read_text()).items()
        for name, case in named.items()
    }


ALL = cases()


def test_there_are_enough_of_them() -> None:
    assert len(ALL) >= 240


async def careful(call: Call) -> None:
    """Answers as a good server does: no body to HEAD, and the word that a waiting client waits for."""
    while True:
        head = await call.head()
        lines = head.split(b"\r\n")
        if b"expect: 100-continue" in lines:
            await call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        lengths = [int(line[16:]) for line in lines if line.startswith(b"content-length: ")]
        if b"transfer-encoding: chunked" in lines:
            while size := int(await call.until(b"\r\n"), 16):
                await call.exactly(size + 2)
            await call.until(b"\r\n")
        elif lengths:
            await call.exactly(lengths[0])
        said = answer(b"fine")
        await call.send(said[:-4] if head.startswith(b"HEAD ") else said)


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
async def test_vector(case: dict[str, Any]) -> None:
    async with raw_origin(careful) as origin:
        policy = Open([route(origin.url)], to_origin=[(b"x-user-id", b"alice"), (b"x-user-plan", b"paid")])
        async with running(*policy.routes, policy=policy, limits=SMALL) as gateway:
            await judge(case, gateway, origin)


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
async def test_vector_whose_header_lines_are_remembered(case: dict[str, Any]) -> None:
    async with raw_origin(careful) as origin:
        policy = Open([route(origin.url)], to_origin=[(b"x-user-id", b"alice"), (b"x-user-plan", b"paid")])
        async with running(*policy.routes, policy=policy, limits=SMALL) as gateway:
            for _ in range(3):  # noted, kept, used
                for call in origin.calls:
                    call.seen = b""
                await judge(case, gateway, origin)


async def judge(case: dict[str, Any], gateway: Running, origin: RawOrigin) -> None:
    reader, writer = await gateway.connect()
    client = Client(reader, writer)
    send = raw(case["send"])
    client.send(send)
    statuses = case["status"] if isinstance(case["status"], list) else [case["status"]]
    method = b"HEAD" if send.startswith(b"HEAD") else b"GET"
    try:
        assert [(await client.answer(method))[0] for _ in statuses] == statuses
        if case.get("open", set(statuses) == {200}):
            client.send(PROBE)
            assert (await client.answer())[0] == 200
        else:
            await client.ended()
    finally:
        client.close()
    judge_bytes(case, origin)


def judge_bytes(case: dict[str, Any], origin: RawOrigin) -> None:
    requests = [request for call in origin.calls for request in read_strictly(call.seen)]
    read = [b" ".join(filter(None, (request.line, request.body))) for request in requests]
    assert [each for call in origin.calls for each in read_with_h11(call.seen)] == read
    assert [each for each in read if each != b"GET /probe"] == [raw(each) for each in case.get("seen", [])]
    seen = b"".join(call.seen for call in origin.calls)
    for word in case.get("never", []):
        assert raw(word) not in seen.lower()
    for line in case.get("always", []):
        assert seen.split(PROBE[:10])[0].count(b"\r\n" + raw(line) + b"\r\n") == 1


CLEAN = (
    b"x-forwarded-for: 1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a\r\nx-user-id: a\r\nx-user-plan: b\r\n"
    b"x-request-id: c\r\nvia: 1.1 mainstay\r\n"
)
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
DIRTY = {
    "a bare line feed": b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n" + CLEAN + b"\r\n",
    "a name with capitals": b"GET / HTTP/1.1\r\nHost: a\r\n" + CLEAN + b"\r\n",
    "an underscore": b"GET / HTTP/1.1\r\nhost: a\r\nx_user: y\r\n" + CLEAN + b"\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n" + CLEAN + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n" + CLEAN + b"\r\n",
    "nothing of ours": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "two framings": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n" + CLEAN + b"\r\n0\r\n\r\n",
    "a length of ours and not": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 05\r\n" + CLEAN + b"\r\nhello",
    "an identity beside ours": b"GET / HTTP/1.1\r\nhost: a\r\nx-user-role: admin\r\n" + CLEAN + b"\r\n",
    "hop by hop": b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n" + CLEAN + b"\r\n",
    "h2c": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: h2c\r\n" + CLEAN + b"\r\n",
    "a chunk that does not end": POST + b"transfer-encoding: chunked\r\n" + CLEAN + b"\r\n1\r\nabc\r\n",
    "an extension": POST + b"transfer-encoding: chunked\r\n" + CLEAN + b"\r\n1;a\r\na\r\n",
    "bytes behind a request": b"GET / HTTP/1.1\r\nhost: a\r\n" + CLEAN + b"\r\nhello",
    "the target of a proxy": b"GET http://a/ HTTP/1.1\r\nhost: a\r\n" + CLEAN + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", DIRTY.values(), ids=DIRTY)
def test_the_judge_sees_dirt(data: bytes) -> None:
    with pytest.raises(Dirty):
        read_strictly(data)
