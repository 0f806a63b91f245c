"""A sender of webhooks: signs, sends over one connection, and keeps account of what was acknowledged."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.edge.problems import problem

SECRET = "the-secret-of-the-bank"
OLD = "what-it-was-before"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return str(self.json["id"])


def signature(body: bytes, secret: str = SECRET) -> tuple[str, str]:
    """The header that the default scheme wants."""
    digest = hmac.digest(secret.encode(), body, "sha256")
    return "X-Webhook-Signature", base64.b64encode(digest).decode()


def request(
    target: str, body: bytes, headers: Iterable[tuple[str, str]], method: str = "POST", *, length: bool = True
) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: hooks.example.com"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Sender:
    """One connection, kept open."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(
        self,
        body: bytes = b"{}",
        *headers: tuple[str, str],
        source: str = "bank",
        secret: str | None = SECRET,
        method: str = "POST",
        target: str | None = None,
    ) -> Answer:
        """Send one event and wait for the answer. Raises `OSError` or `EOFError` when there is none."""
        signed = [*headers] if secret is None else [*headers, signature(body, secret)]
        return await self.raw(request(target or f"/{source}", body, signed, method))

    async def raw(self, data: bytes) -> Answer:
        """Send bytes and read one answer."""
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self._reader
        try:
            self._writer.write(data)
            return await self._answer(self._reader)
        except BaseException:
            self.close()
            raise

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":")[::2] for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        answer = Answer(int(head[0].split()[1]), headers, body)
        if answer.status >= 400:
            raw = {name.encode(): value.encode() for name, value in headers.items()}
            problem(answer.status, raw, body)
        return answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
