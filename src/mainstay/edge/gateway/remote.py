"""Asks a service whose a token is, once for all who show it at the same time, and believes the answer for a while."""

import asyncio
import json
from typing import Any

from mainstay.edge.gateway.contact import Contact
from mainstay.edge.gateway.hygiene import safe
from mainstay.edge.gateway.identity import Bad, Identity, Known, Unsure
from mainstay.edge.gateway.outside import Outside, Unreachable
from mainstay.edge.gateway.settings_auth import RemoteSettings
from mainstay.ports.clock import Clock

_MOST_BYTES = 65_536
_BAD = (401, 403, 404)
NOBODYS = b"mainstay-asks-whether-you-answer"
"""A token that nobody has."""


class Remote:
    """The service under `gateway.auth.remote`. What it answers is remembered by whoever asks here."""

    def __init__(self, settings: RemoteSettings, outside: Outside, clock: Clock) -> None:
        self.settings = settings
        self.contact = Contact("service", settings.url, clock, grave=True)
        self._outside = outside
        self._open: dict[bytes, asyncio.Task[Known]] = {}
        self.asked = 0
        """Questions put to it so far."""

    def judge(self, raw: bytes) -> "Known | asyncio.Future[Known]":
        """Judge a token; a future unless so much is being asked already that it is refused at once."""
        task = self._open.get(raw)
        if task is None:
            if len(self._open) >= self.settings.most:
                return Unsure("too much is being asked")
            task = self._open[raw] = asyncio.ensure_future(self._ask(raw))
            task.add_done_callback(lambda _: self._open.pop(raw, None))
        return asyncio.ensure_future(asyncio.shield(task))

    async def look(self) -> None:
        """Ask about a token that nobody has, to learn whether it answers again."""
        await self._ask(NOBODYS)

    async def _ask(self, raw: bytes) -> Known:
        """Ask, and note how it answered."""
        try:
            found = await self._answer(raw)
        except Unreachable as fault:
            self.contact.bad(str(fault))
            return Unsure("the service that knows tokens does not answer")
        if isinstance(found, Unsure):
            self.contact.bad(found.why)
        else:
            self.contact.good()
        return found

    async def _answer(self, raw: bytes) -> Known:
        self.asked += 1
        wanted = self.settings
        headers = {"Authorization": f"Bearer {wanted.secret.reveal()}"} if wanted.secret else {}
        try:
            data = {"token": raw.decode("ascii")}
            status, body = await self._outside.post(wanted.url, data, headers, wanted.timeout, _MOST_BYTES)
        except UnicodeDecodeError:
            return Bad("not a token")
        if status in _BAD:
            return Bad("not known")
        if status == 200:
            return self._read(body)
        return Unsure(f"the service that knows tokens is in trouble: it answers {status}")

    def _read(self, body: bytes) -> Known:
        try:
            found: Any = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return Unsure("the service that knows tokens answers nonsense")
        subject, plan = found.get(self.settings.user), found.get(self.settings.plan)
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        if not isinstance(subject, str) or safe(subject) is None:
            return Unsure("the service that knows tokens names nobody")
        return Identity(subject, plan if isinstance(plan, str) else None)
