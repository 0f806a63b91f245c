"""The real application on a real journal and a real port, with the company's past in it."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from starlette.applications import Starlette

from mainstay.config.web import WebSettings
from mainstay.ports.clock import FakeClock
from mainstay.store import accounts
from mainstay.store.base import Store
from mainstay.store.open import open_store
from mainstay.web.app import create_app
from mainstay.web.plan import Plan
from mainstay.web.serve import serve
from tests.web.company import plan as company
from tests.web.seed import seed

HTML = {"Accept": "text/html"}


@dataclass
class Booted:
    """A dashboard that runs: where, on which journal, with which password."""

    url: str
    store: Store
    clock: FakeClock
    app: Starlette
    password: str

    @asynccontextmanager
    async def client(self, *, login: bool = True) -> AsyncIterator[Client]:
        """A browser without scripts."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(self.url, cookie_jar=jar, headers=HTML) as session:
            client = Client(session)
            if login:
                assert await client.login(self.password) == 200
            yield client


@dataclass
class Answer:
    """What came back."""

    status: int
    text: str
    headers: CIMultiDictProxy[str]
    url: str

    @property
    def csrf(self) -> str:
        """The token that the page's forms carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.text)
        assert found, "the page has no form with a token"
        return found[1]


class Client:
    """Sends requests as a browser would."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    @property
    def session_token(self) -> str:
        """What the session cookie holds."""
        return next(one.value for one in self.session.cookie_jar if one.key == "mainstay_session")

    async def get(self, path: str, **options: Any) -> Answer:
        async with self.session.get(path, **options) as response:
            return await _answer(response)

    async def post(self, path: str, data: dict[str, str] | None = None, **options: Any) -> Answer:
        async with self.session.post(path, data=data, **options) as response:
            return await _answer(response)

    async def login(self, password: str, account: str = "admin", next: str = "/") -> int:
        """Log in; gives the status of the page that one lands on."""
        form = await self.get("/login")
        data = {"csrf": form.csrf, "account": account, "password": password, "next": next}
        return (await self.post("/login", data)).status

    async def submit(self, page: str, action: str, **fields: str) -> Answer:
        """Open a page and send one of its forms."""
        opened = await self.get(page)
        assert f'action="{action}"' in opened.text, f"{page} has no form {action}"
        return await self.post(action, {"csrf": opened.csrf, **fields})


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    return Answer(response.status, await response.text(), response.headers, str(response.url))


@dataclass(frozen=True)
class Past:
    """A journal with the company's past in it, to be copied, and the moment at which that past ends."""

    journal: Path
    now: float


async def make_past(directory: Path, *, hostile: bool = False) -> Past:
    """Write the company's past once; copies of it are cheap."""
    clock = FakeClock(time.time())
    journal = directory / "journal.db"
    store = await open_store(f"sqlite:///{journal}", clock)
    await seed(store, company(hostile=hostile), clock.now(), hostile=hostile)
    await store.close()
    return Past(journal, clock.now())


@asynccontextmanager
async def booted(
    directory: Path,
    *,
    past: Past | None = None,
    plan: Plan | None = None,
    journal: str | None = None,
    now: float | None = None,
    **settings: Any,
) -> AsyncIterator[Booted]:
    """Run the dashboard, with a past or on an empty journal. The clock stands still until a test moves it."""
    directory.mkdir(parents=True, exist_ok=True)
    if past:
        shutil.copy(past.journal, directory / "journal.db")
    clock = FakeClock(past.now if past else now or time.time())
    plan = plan or company()
    store = await open_store(journal or f"sqlite:///{directory}/journal.db", clock)
    options = WebSettings(listen="127.0.0.1:0", **settings)
    password = await store.write(lambda tx: accounts.ensure_admin(tx, clock.now()))
    assert password
    app = create_app(store, clock, options, plan)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, options, ready=ready.set_result, stop=stop))
    try:
        yield Booted(await ready, store, clock, app, password)
    finally:
        stop.set()
        await server
        await store.close()
