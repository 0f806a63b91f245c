"""Addresses to listen on, as they are written in the configuration: `127.0.0.1:8420`, `[::1]:8420`, `:8420`."""

import re
from typing import Annotated

from pydantic import AfterValidator


def _check(text: str) -> str:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):(\d{1,5})", text)
    if not found or int(found[2]) > 65535:
        raise ValueError(
            f"{text!r} is not an address to listen on; write it like 127.0.0.1:8420 or 0.0.0.0:8420"
        )
    return text


Listen = Annotated[str, AfterValidator(_check)]
"""HOST:PORT; an empty host means every address, port 0 a free one."""


def within(listen: str, *, tls: bool) -> str:
    """Give the URL under which this machine itself reaches such an address."""
    host, port = split(listen)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- not listened on
    place = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{place}:{port}"


def split(listen: str) -> tuple[str, int]:
    """Give host and port; the host is empty for every address, and has no brackets."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
