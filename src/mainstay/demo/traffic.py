"""The edge's acts: webhooks come in while their receiver is dead; an API is asked more often than a plan allows."""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from mainstay.core.errors import MainstayError
from mainstay.core.secret import Secret
from mainstay.core.service import Process
from mainstay.demo.company import Company
from mainstay.demo.hooks import read
from mainstay.demo.measures import GatewayMeasure, WebhookMeasure
from mainstay.ports.services import control_for

if TYPE_CHECKING:
    from aiohttp import ClientSession

T = TypeVar("T")
Tell = Callable[[str], None]
Until = Callable[[Callable[[], Awaitable[Any]], str, float], Awaitable[Any]]

EVENTS = 450
COPIES = 30
FORGED = 20
AT_ONCE = 16
ASKED = 130
STRANGERS = 10
PLAN = "free"


@dataclass(frozen=True, slots=True)
class Letter:
    """A webhook to be sent: its body, its signature, and whether it is genuine."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


class Traffic:
    """Plays a bank that sends webhooks, and clients of the API."""

    def __init__(self, company: Company, tell: Tell, until: Until) -> None:
        self.company = company
        self.tell = tell
        self._until = until

    async def webhooks(self) -> WebhookMeasure:
        """Kill the bookkeeper, send everything meanwhile, and wait until it is back and has got every event once."""
        os.kill(await self._pid("books"), signal.SIGKILL)
        self.tell("kill -9: the bookkeeper, who is to get the bank's webhooks, is dead")
        letters = self._letters()
        began = time.monotonic()
        statuses, slowest = await self._post(letters)
        seconds = time.monotonic() - began
        self.tell(
            f"meanwhile the bank sent {len(letters)} webhooks in {seconds:.1f} s: {statuses[202]} were taken, "
            f"{statuses[200]} known as copies, {statuses[401]} refused as forged; the slowest answer took "
            f"{slowest * 1000:.0f} ms"
        )
        ledger = self.company.home / "state" / "books.ledger"

        async def settled() -> bool:
            return len(read(ledger)) >= statuses[202]

        await self._until(settled, "every webhook is delivered", 90)
        done = read(ledger)
        delivered = len(set(done))
        self.tell(f"the bookkeeper was restarted and got all {delivered}, each once")
        return WebhookMeasure(
            sent=len(letters),
            accepted=statuses[202],
            refused=statuses[401],
            deduplicated=statuses[200],
            delivered=delivered,
            lost=statuses[202] - delivered,
            doubled=len(done) - delivered,
            slowest_ms=round(slowest * 1000, 1),
        )

    async def gateway(self) -> GatewayMeasure:
        """Ask more often than the plan allows, and without a good token."""
        token = self._token("juan", PLAN)
        statuses: Counter[int] = Counter()
        async with self._session() as session:
            for _ in range(ASKED):
                statuses[await self._get(session, token)] += 1
            for number in range(STRANGERS):
                statuses[await self._get(session, None if number % 2 else self._forged(token))] += 1
        self.tell(
            f"a client on the plan {PLAN} asked {ASKED} times: {statuses[200]} admitted, {statuses[429]} limited; "
            f"{STRANGERS} strangers: {statuses[401]} turned away"
        )
        return GatewayMeasure(admitted=statuses[200], limited=statuses[429], unauthorised=statuses[401])

    def _letters(self) -> list[Letter]:
        settings = self.company.config.webhooks["bank"]
        secret, wrong = settings.secrets[0], Secret("somebody_else", "not-the-secret-of-the-bank")
        now = time.time()
        genuine = [self._letter(number, secret, now) for number in range(EVENTS)]
        forged = [self._letter(EVENTS + number, wrong, now) for number in range(FORGED)]
        drawn = random.Random(7)  # noqa: S311 - no secret
        mixed = genuine + forged
        drawn.shuffle(mixed)
        return mixed + drawn.sample(genuine, COPIES)

    def _letter(self, number: int, secret: Secret, now: float) -> Letter:
        event = {
            "id": f"evt_{number:05}",
            "type": "payment.received",
            "amount": 100 + number,
            "currency": "PHP",
        }
        body = json.dumps(event).encode()
        signed = self.company.config.webhooks["bank"].scheme.sign(body, secret, now)
        return Letter(body, (("Content-Type", "application/json"), *signed))

    async def _post(self, letters: list[Letter]) -> tuple[Counter[int], float]:
        """Send all of them, some at a time; give how often which status was answered, and the slowest answer."""
        url = f"http://{self.company.config.edge.webhooks}/bank"
        statuses: Counter[int] = Counter()
        slowest = 0.0
        waiting = iter(letters)

        async def sender(session: "ClientSession") -> None:
            nonlocal slowest
            for letter in waiting:
                began = time.monotonic()
                async with session.post(url, data=letter.body, headers=letter.headers) as answer:
                    await answer.read()
                statuses[answer.status] += 1
                slowest = max(slowest, time.monotonic() - began)

        async with self._session() as session:
            await asyncio.gather(*(sender(session) for _ in range(AT_ONCE)))
        return statuses, slowest

    async def _get(self, session: "ClientSession", token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with session.get(
            f"http://{self.company.config.edge.gateway}/health", headers=headers
        ) as answer:
            await answer.read()
            return answer.status

    def _session(self) -> "ClientSession":
        from aiohttp import ClientSession, ClientTimeout

        return ClientSession(timeout=ClientTimeout(total=30), trust_env=False)

    def _token(self, subject: str, plan: str) -> str:
        """Make a token (JWT, HS256) as the company's login would."""
        import base64
        import hashlib
        import hmac

        def part(document: bytes) -> bytes:
            return base64.urlsafe_b64encode(document).rstrip(b"=")

        gateway = self.company.config.gateway
        secret = gateway.auth.tokens[0].keys[0].secret if gateway else None
        if secret is None:
            raise MainstayError("the demonstration's gateway has no secret")
        claims = {"sub": subject, "plan": plan, "exp": int(time.time()) + 600}
        text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
        signature = hmac.digest(secret.reveal().encode(), text, hashlib.sha256)
        return (text + b"." + part(signature)).decode()

    def _forged(self, token: str) -> str:
        head, claims, _ = token.split(".")
        return f"{head}.{claims}.{'A' * 43}"

    async def _pid(self, service: str) -> int:
        config = self.company.config
        runs_on = config.services[service].runs_on
        if not isinstance(runs_on, Process):
            raise MainstayError(f"the demonstration's {service} is not a process")
        state = await control_for(service, runs_on, config.state_dir, config.file.parent).state()
        if state.pid is None:
            raise MainstayError(f"the demonstration's {service} does not run: {state.detail}")
        return state.pid
