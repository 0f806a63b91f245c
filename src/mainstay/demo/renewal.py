"""The act of the certificate: issued by a real authority, renewed, and seen at the site."""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from mainstay.core.run import Run, RunState
from mainstay.demo.authority import NAME
from mainstay.demo.company import Company
from mainstay.demo.measures import CertificateMeasure
from mainstay.store import certificates
from mainstay.store.certificates import Certificate

Tell = Callable[[str], None]
Until = Callable[[Callable[[], Awaitable[Any]], str, float], Awaitable[Any]]
Do = Callable[[str, dict[str, Any]], Awaitable[Run]]


async def renew(company: Company, tell: Tell, until: Until, do: Do) -> list[CertificateMeasure]:
    """Wait for the certificate that mainstay got by itself, have it renewed, and look what the site serves."""
    if company.site is None:
        tell(
            "there is no Pebble on this machine (apt install pebble): the act of the certificate is left out"
        )
        return []

    async def issued() -> Certificate | None:
        row = await company.store.read(lambda tx: certificates.get(tx, NAME))
        return row if row.served_at is not None else None

    first: Certificate = await until(issued, "the site's certificate is issued and served", 60)
    before = await _served(company.site)
    tell(f"mainstay got a certificate for {NAME} from a real authority by itself; the site serves it")
    run = await do(f"renew:{NAME}", {"force": True})
    after = await _served(company.site)
    seconds = (run.finished_at or 0.0) - (run.started_at or 0.0)
    new = run.outcome.get("fingerprint") if run.state is RunState.DONE else None
    tell(f"renewed in {seconds:.1f} s, and seen at the site: {run.error or run.summary}")
    row = await company.store.read(lambda tx: certificates.get(tx, NAME))
    return [
        CertificateMeasure(
            name=NAME,
            renewed=run.state is RunState.DONE and row.serial != first.serial,
            served=new is not None and new == after != before,
            seconds=round(seconds, 2),
            days_left=round(((row.not_after or 0.0) - (row.looked_at or 0.0)) / 86400, 1),
        )
    ]


async def _served(port: int) -> str:
    """Give the fingerprint of what the site serves."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return hashlib.sha256(found).hexdigest()
