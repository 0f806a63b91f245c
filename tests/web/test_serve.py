"""Serving: the address, the end, and what happens when the address is taken."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from mainstay.config.web import WebSettings
from mainstay.core.errors import MainstayError
from mainstay.ports.clock import SystemClock
from mainstay.store import accounts
from mainstay.store.open import open_store
from mainstay.web.app import create_app
from mainstay.web.plan import Plan
from mainstay.web.security import COOKIE
from mainstay.web.serve import address, bind, serve


async def test_sigterm_ends_it_at_once_even_with_an_open_stream(tmp_path: Path) -> None:
    clock = SystemClock()
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", clock)
    settings = WebSettings(listen="127.0.0.1:0")

    def account(tx: object) -> str:
        accounts.ensure_admin(tx, clock.now())  # type: ignore[arg-type]
        return accounts.open_login(tx, accounts.ADMIN, clock.now(), 60)[0]  # type: ignore[arg-type]

    token = await store.write(account)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(store, clock, settings, Plan("fresh"))
    server = asyncio.create_task(serve(app, settings, ready=ready.set_result))
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession(headers={"Cookie": f"{COOKIE}={token}"}) as session,
        session.get(f"{await ready}/events") as stream,
    ):
        assert stream.status == 200
        await stream.content.readline()
        os.kill(os.getpid(), signal.SIGTERM)
        await server
    await store.close()


def test_a_taken_address_is_one_kind_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            MainstayError,
            match=f"cannot listen on 127.0.0.1:{port}: Address already in use .hint: .*web.listen",
        ):
            bind(WebSettings(listen=f"127.0.0.1:{port}"))


def test_addresses_that_a_browser_can_open() -> None:
    assert address("0.0.0.0", 80) == "http://localhost:80"
    assert address("::1", 8420) == "http://[::1]:8420"
    assert address("10.0.0.1", 8420) == "http://10.0.0.1:8420"
    with bind(WebSettings(listen=":0")) as everywhere:
        assert everywhere.getsockname()[0] == "0.0.0.0"
