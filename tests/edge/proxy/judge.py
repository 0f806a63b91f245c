"""Reads what an origin saw, more strictly than any origin would, and compares that with another reader's opinion."""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

VALUE = rb"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?"
HEAD = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1\r\n((?:[a-z0-9!#$%&'*+.^`|~-]+: " + VALUE + rb"\r\n)+)\r\n")
HOP_BY_HOP = {
    b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer", b"http2-settings", b"forwarded",
    b"x-real-ip", b"x-original-url", b"x-rewrite-url",
}  # fmt: skip
ONCE = {
    b"host", b"content-length", b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host",
    b"x-user-id", b"x-user-plan", b"x-request-id", b"via", b"connection", b"upgrade", b"expect",
}  # fmt: skip
SETTLED = {
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-user-id",
    b"x-user-plan",
    b"x-request-id",
    b"via",
    b"host",
}


class Dirty(AssertionError):
    """An origin saw what it must never see."""


@dataclass
class Seen:
    """One request as an origin read it."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def read_strictly(data: bytes) -> list[Seen]:
    """The whole requests that an origin saw on one connection; what is left must be the beginning of another one."""
    found = []
    while data:
        head = HEAD.match(data)
        if head is None:
            raise Dirty(f"not a request: {data[:300]!r}")
        lines = [line.partition(b": ") for line in head[3].split(b"\r\n")[:-1]]
        headers = [(name, value) for name, _, value in lines]
        judge_headers(headers)
        body, data = body_of(dict(headers), data[head.end() :])
        if body is None:
            break
        found.append(Seen(head[1] + b" " + head[2], headers, body))
    return found


def judge_headers(headers: list[tuple[bytes, bytes]]) -> None:
    names = [header[0] for header in headers]
    fields = dict(headers)
    for name in names:
        if name in HOP_BY_HOP or (name.startswith((b"x-user-", b"x-forwarded-")) and name not in ONCE):
            raise Dirty(f"{name!r} went through")
    for name in ONCE:
        if names.count(name) > 1:
            raise Dirty(f"{name!r} is there twice")
    if missing := SETTLED - set(names):
        raise Dirty(f"{missing} are not settled")
    if (b"connection" in fields) != (b"upgrade" in fields):
        raise Dirty("an upgrade is half there")
    if (
        fields.get(b"upgrade", b"websocket") != b"websocket"
        or fields.get(b"connection", b"Upgrade") != b"Upgrade"
    ):
        raise Dirty("an upgrade to something else")
    if b"content-length" in fields and b"transfer-encoding" in fields:
        raise Dirty("the body is framed twice")
    if fields.get(b"transfer-encoding", b"chunked") != b"chunked":
        raise Dirty("a coding that is not ours")
    if not re.fullmatch(rb"0|[1-9][0-9]*", fields.get(b"content-length", b"0")):
        raise Dirty("a length that is not ours")


def body_of(fields: dict[bytes, bytes], data: bytes) -> tuple[bytes | None, bytes]:
    """The body and what follows; None when it is not all there."""
    if b"transfer-encoding" not in fields:
        size = int(fields.get(b"content-length", b"0"))
        return (data[:size], data[size:]) if len(data) >= size else (None, b"")
    body = b""
    while chunk := re.match(rb"(0|[1-9a-f][0-9a-f]*)\r\n", data):
        size, data = int(chunk[1], 16), data[chunk.end() :]
        if len(data) < size + 2:
            return None, b""
        if data[size : size + 2] != b"\r\n":
            raise Dirty(f"a chunk does not end: {data[: size + 2]!r}")
        body, data = body + data[:size], data[size + 2 :]
        if size == 0:
            return body, data
    if data and not re.fullmatch(rb"[0-9a-f]+\r?", data):
        raise Dirty(f"not a chunk: {data[:100]!r}")
    return None, b""


def read_with_h11(data: bytes) -> list[bytes]:
    """What another reader makes of the same bytes: `METHOD TARGET` with the body, if there is one."""
    wire = h11.Connection(h11.SERVER)
    wire.receive_data(data)
    found: list[bytes] = []
    line, body = b"", b""
    while True:
        event = wire.next_event()
        if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            if event is h11.PAUSED and wire.our_state is h11.SEND_RESPONSE:
                wire.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                wire.send(h11.EndOfMessage())
                wire.start_next_cycle()
                continue
            return found
        if isinstance(event, h11.Request):
            line, body = event.method + b" " + event.target, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.append(b" ".join(filter(None, (line, body))))
