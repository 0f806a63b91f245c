"""Asks a running Envoy how it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.edge.gateway.envoy.plan import NAME

PATIENCE = 5.0
VERSIONS = {
    "clusters": "cluster_manager.cds",
    "runtime": "runtime",
    "certificate": "sds.certificate",
    "authority": "sds.authority",
    "routes": f"http.{NAME}.rds.{NAME}",
    "listeners": "listener_manager.lds",
}
"""Where Envoy says what became of each kind."""
ALWAYS = ("clusters", "runtime", "listeners")
"""Kinds that are looked at even when there is nothing of them; others only where something needs them."""
WARMING = "listener_manager.total_listeners_warming"
ACTIVE = f"http.{NAME}.downstream_rq_active"
FILTER = f"^({'|'.join(VERSIONS.values())})[.](version_text|update_rejected)$|^{WARMING}$|^{ACTIVE}$"


class Admin:
    """Envoy's own HTTP, at a socket that only our user may open."""

    def __init__(self, socket: Path) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket)), timeout=aiohttp.ClientTimeout(total=PATIENCE)
        )

    async def __aenter__(self) -> "Admin":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, target: str) -> bytes:
        """Ask. Raises `MainstayError` when there is no answer."""
        return await self._ask("GET", target)

    async def post(self, target: str) -> None:
        """Have something done. Raises `MainstayError` when there is no answer."""
        await self._ask("POST", target)

    async def live(self) -> bool:
        """Whether it has begun to serve. Raises `MainstayError` when there is no answer."""
        return (await self.get("/ready")).strip() == b"LIVE"

    async def stats(self) -> Mapping[str, Any]:
        """Give those numbers and words that are looked at here."""
        from urllib.parse import quote

        said = json.loads(await self.get(f"/stats?format=json&filter={quote(FILTER)}"))
        return {each["name"]: each["value"] for each in said["stats"] if "name" in each}

    async def clusters(self) -> list[dict[str, Any]]:
        """Give how the origins are, by cluster."""
        found: list[dict[str, Any]] = json.loads(await self.get("/clusters?format=json"))["cluster_statuses"]
        return found

    async def _ask(self, method: str, target: str) -> bytes:
        import aiohttp
        from yarl import URL

        try:
            url = URL(f"http://envoy{target}", encoded=True)
            async with self._session.request(method, url) as answer:
                return await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise MainstayError(f"Envoy does not answer: {str(fault) or type(fault).__name__}") from None
