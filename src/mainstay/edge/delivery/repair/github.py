"""GitHub keeps what a hook delivered, or could not, for three days."""

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import Field

from mainstay.core.secret import Secret
from mainstay.edge.delivery.repair.base import Pairs, Repair, Sent
from mainstay.edge.delivery.repair.wire import RepairError, Wire
from mainstay.edge.delivery.repair.written import compact


class GitHubRepair(Repair, type="github"):
    """Asks GitHub's hook deliveries, and fetches the payloads of those that are not in the inbox.

    GitHub never repeats a delivery by itself. It keeps them for three days: what is older is lost.
    """

    hook: str = Field(
        pattern=r"^(repos/[\w.-]+/[\w.-]+/hooks/\d+|orgs/[\w.-]+/hooks/\d+|app/hook)$",
        examples=["repos/acme/shop/hooks/123456", "orgs/acme/hooks/42", "app/hook"],
    )
    """Which hook, as in GitHub's API."""
    token: Secret
    """A token that may read the hook (`read:repo_hook`, `admin:org_hook`)."""
    api: str = Field(default="https://api.github.com", pattern=r"^https?://[^\s?#]+$")
    """The API's address; another one for GitHub Enterprise Server."""

    async def sent(self, wire: Wire, since: float) -> AsyncIterator[Sent]:
        url: str | None = f"{self.api}/{self.hook}/deliveries"
        params: dict[str, str] | None = {"per_page": "100"}
        seen: set[str] = set()
        while url is not None:
            page = await wire.get(url, self._headers(), params)
            for one in _list(page.document):
                at = datetime.fromisoformat(str(one["delivered_at"])).timestamp()
                if at < since:
                    return  # the newest come first
                guid = str(one["guid"])
                if guid not in seen:
                    seen.add(guid)
                    load = partial(self._load, wire, int(one["id"]))
                    yield Sent(guid, at, str(one.get("event") or ""), load)
            url, params = page.next, None

    async def _load(self, wire: Wire, delivery: int) -> tuple[Pairs, bytes]:
        page = await wire.get(f"{self.api}/{self.hook}/deliveries/{delivery}", self._headers())
        try:
            request = page.document["request"]
            headers, payload = request["headers"], request["payload"]
        except (KeyError, TypeError):
            raise RepairError("GitHub gave a delivery without its request") from None
        return tuple((str(name), str(value)) for name, value in headers.items()), compact(payload)

    def _headers(self) -> dict[str, str]:
        return {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token.reveal()}",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "mainstay",
        }


def _list(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, list):
        raise RepairError("GitHub gave something else than a list of deliveries")
    return document
