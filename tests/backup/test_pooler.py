"""A pooler between us and the server: nothing that we pin would hold, so it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from mainstay.backup.session import session
from mainstay.ports.postgres.dsn import Dsn, PostgresError

KEY = b"K\x00\x00\x00\x0c"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, made_up: bool) -> None:
    """Pass on; the server's BackendKeyData gets a number of our own, as PgBouncer does it."""
    while chunk := await reader.read(65536):
        at = chunk.find(KEY) if made_up else -1
        if at >= 0:
            chunk = chunk[: at + 5] + b"\x00\x0f\x42\x40" + chunk[at + 9 :]
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def pooler(target: Dsn, *, made_up: bool) -> AsyncIterator[Dsn]:
    done: list[asyncio.StreamWriter] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = target.params["host"], int(target.params["port"])
        answers, questions = await asyncio.open_connection(host, port)
        done.extend((questions, writer))
        await asyncio.gather(
            pump(reader, questions, made_up=False),
            pump(answers, writer, made_up=made_up),
            return_exceptions=True,
        )

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield target.with_(host="127.0.0.1", port=str(port), sslmode="disable", gssencmode="disable")
    finally:
        server.close()
        for writer in done:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_a_pooler_is_refused_with_the_remedy(database: str) -> None:
    async with pooler(Dsn.parse(database), made_up=True) as dsn:
        with pytest.raises(PostgresError, match=r"connection pooler.*address of PostgreSQL itself"):
            async with session(dsn):
                pass


async def test_what_merely_passes_on_is_fine(database: str) -> None:
    async with pooler(Dsn.parse(database), made_up=False) as dsn, session(dsn) as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
