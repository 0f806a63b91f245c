"""The options under `web:`."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from mainstay.core.listen import Listen, split
from mainstay.core.plugin import Settings
from mainstay.core.secret import Secret
from mainstay.core.units import Duration


def _check_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+", text.rstrip("/")):
        raise ValueError(f"{text!r} is not the address of a site; write it like https://status.example.com")
    return text.rstrip("/")


class WebSettings(Settings):
    """The dashboard and the JSON API."""

    listen: Annotated[Listen, Field(examples=["127.0.0.1:8420"])] = "127.0.0.1:8420"
    """Address and port to listen on; port 0 takes a free one."""
    url: Annotated[str, AfterValidator(_check_url), Field(examples=["https://status.example.com"])] | None = (
        None
    )
    """The address that people use; links in messages start with it, and with https cookies are sent encrypted only."""
    session: Duration = 7 * 86400.0
    """How long a login lasts."""
    token: Secret | None = None
    """Bearer token of scripts: opens the JSON API and `/metrics` without a login."""
    trusted_proxies: list[str] = ["127.0.0.1", "::1"]
    """Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""

    @property
    def host(self) -> str:
        """The address to bind; empty means every one."""
        return split(self.listen)[0]

    @property
    def port(self) -> int:
        """The port to bind."""
        return split(self.listen)[1]
