"""Encrypted channels: a certificate that does not hold is refused, one that does is not."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP

from mainstay.core.notifier import NotifyError
from mainstay.notifiers.email import Email
from mainstay.notifiers.posting import post
from tests.notifiers.messages import AT, message
from tests.servers.authority import Authority
from tests.servers.process import LOOPBACK


class Keeper:
    """Takes every mail."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        self.mails.append(getattr(envelope, "content", b""))
        return "250 kept"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def served(authority: Authority, **wrong: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(**wrong))  # type: ignore[arg-type]
    return context


@asynccontextmanager
async def mail_server(
    context: ssl.SSLContext, security: Literal["starttls", "tls"], keeper: Keeper
) -> AsyncIterator[int]:
    import asyncio

    def protocol() -> SMTP:
        return SMTP(keeper, tls_context=context if security == "starttls" else None)

    loop = asyncio.get_running_loop()
    tls = context if security == "tls" else None
    server = await loop.create_server(protocol, LOOPBACK, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def mailer(port: int, security: str) -> Email:
    people = {"from": "ops@example.com", "to": ["ana@example.com"]}
    return Email.model_validate(
        {"host": LOOPBACK, "port": port, "security": security, "timeout": 20.0, **people}
    )


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_only_to_a_server_that_shows_who_it_is(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, security: Literal["starttls", "tls"]
) -> None:
    keeper = Keeper()
    async with mail_server(served(authority), security, keeper) as port:
        with pytest.raises(NotifyError, match="certificate that does not hold"):
            await mailer(port, security).send(message(), AT)
        assert keeper.mails == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        assert await mailer(port, security).send(message(), AT) == "accepted"
        assert len(keeper.mails) == 1


@pytest.mark.parametrize(
    ("wrong", "words"), [({}, "local issuer"), ({"left": timedelta(hours=-1)}, "certificate")]
)
async def test_a_post_goes_only_to_a_provider_that_shows_who_it_is(
    authority: Authority, wrong: dict[str, timedelta], words: str
) -> None:
    site = web.Application()
    runner = web.AppRunner(site)
    await runner.setup()
    door = web.TCPSite(runner, LOOPBACK, 0, ssl_context=served(authority, **wrong))
    await door.start()
    port = runner.addresses[0][1]
    try:
        with pytest.raises(NotifyError, match=f"certificate that does not hold: .*{words}") as told:
            await post("Slack", f"https://{LOOPBACK}:{port}/secret", b"{}", timeout=20, now=AT)
        assert not told.value.permanent
        assert "secret" not in str(told.value)
    finally:
        await runner.cleanup()
