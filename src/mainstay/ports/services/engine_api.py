"""The Docker Engine API over its unix socket."""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mainstay.ports.services.base import ServiceError

if TYPE_CHECKING:
    import aiohttp

SOCKET = "/var/run/docker.sock"
WITHIN = 60.0
"""Seconds for one request; a restart waits for the container to stop."""

FRAME_HEAD = 8
"""Bytes before each piece of a container's output: which stream it is of, and its length."""


class NotThere(ServiceError):
    """There is no such container or service."""


def socket_path() -> str:
    """Give the daemon's socket: that of DOCKER_HOST, else the usual one."""
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix://"):
        raise ServiceError(
            "DOCKER_HOST is no unix socket",
            hint="mainstay speaks to the Docker daemon of its own machine only",
        )
    return host.removeprefix("unix://") or SOCKET


async def ask(
    method: str,
    path: str,
    params: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    within: float = WITHIN,
) -> Any:
    """Make one request; give the JSON of its answer, or None. Raises `NotThere` for 404, else `ServiceError`."""
    status, text = await _exchange(method, path, params, body, within)
    if status in (200, 201, 204, 304):
        return _parsed(text)
    reason = _reason(text) or f"status {status}"
    if status == 404:
        raise NotThere(reason)
    raise ServiceError(f"Docker refused: {reason}")


async def events(params: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give the events of a finished stretch of time (`since` and `until`), oldest first."""
    status, text = await _exchange("GET", "/events", params, None, WITHIN)
    if status != 200:
        raise ServiceError(f"Docker refused: {_reason(text) or status}")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


async def follow(path: str, params: Mapping[str, str], tell: Callable[[bytes], None]) -> None:
    """Read what a container writes until it has ended; `tell` gets the pieces. Raises `ServiceError`."""
    async with _answer("GET", path, params, None, None) as answer:
        if answer.status != 200:
            raise ServiceError(f"Docker refused: {_reason(await answer.text()) or answer.status}")
        while head := await answer.content.read(FRAME_HEAD):
            while len(head) < FRAME_HEAD and (more := await answer.content.read(FRAME_HEAD - len(head))):
                head += more
            left = int.from_bytes(head[4:], "big")
            while left and (piece := await answer.content.read(left)):
                tell(piece)
                left -= len(piece)


async def _exchange(
    method: str, path: str, params: Mapping[str, str] | None, body: Mapping[str, Any] | None, within: float
) -> tuple[int, str]:
    async with _answer(method, path, params, body, within) as answer:
        return answer.status, await answer.text()


@asynccontextmanager
async def _answer(
    method: str,
    path: str,
    params: Mapping[str, str] | None,
    body: Mapping[str, Any] | None,
    within: float | None,
) -> "AsyncIterator[aiohttp.ClientResponse]":
    """Make a request; faults of the connection, also while the answer is read, become `ServiceError`."""
    import aiohttp

    socket = socket_path()
    connector = aiohttp.UnixConnector(path=socket)
    limit = aiohttp.ClientTimeout(total=within)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=False) as session,
            session.request(method, f"http://docker{path}", params=params, json=body) as answer,
        ):
            yield answer
    except TimeoutError:
        raise ServiceError(f"the Docker daemon did not answer within {within or WITHIN:g} s") from None
    except (aiohttp.ClientError, OSError) as fault:
        cause = getattr(fault, "os_error", fault)
        hint = (
            "add mainstay's account to the group docker"
            if isinstance(cause, PermissionError)
            else "is Docker running?"
        )
        reason = getattr(cause, "strerror", None) or type(fault).__name__
        raise ServiceError(f"cannot reach the Docker daemon at {socket}: {reason}", hint=hint) from None


def _parsed(text: str) -> Any:
    return json.loads(text) if text.strip() else None


def _reason(text: str) -> str:
    try:
        return str(json.loads(text).get("message", ""))
    except (ValueError, AttributeError):
        return text.strip()[:200]
