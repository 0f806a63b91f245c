"""A container of Docker, by the clock."""

import asyncio
import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from pydantic import Field

from mainstay.core.job import JobFailed, Look, RunContext
from mainstay.core.secret import redact
from mainstay.core.units import Size
from mainstay.ports.program import Lines
from mainstay.ports.services.base import ServiceError
from mainstay.ports.services.engine_api import NotThere, ask, follow
from mainstay.upkeep.own.base import OwnJob, ended

GRACE = 5
"""Seconds that a container gets between SIGTERM and SIGKILL."""


class ContainerJob(OwnJob, type="container"):
    """Run a container to its end, as `docker run --rm` does; exit code 0 is success.

    It gets `env` and the variables of a `command` job, and nothing of mainstay's own environment. Secrets are handed
    to the Docker daemon through its socket, never as arguments; who may ask the daemon can see them while it runs. The
    image has to be there: mainstay pulls none. A container that a killed mainstay left behind is removed before the
    run begins anew.
    """

    image: str = Field(min_length=1, examples=["registry.example.com/reports:7"])
    """The image; it must be on this machine."""
    command: list[str] | None = None
    """Arguments instead of the image's own command."""
    volumes: list[str] = Field(default=[], examples=[["/srv/reports:/out"]])
    """What is mounted, as `docker run -v` has it: `/HERE:/THERE` or `NAME:/THERE`, with `:ro` for reading only."""
    network: str | None = None
    """The network it is in; Docker's own default when left out."""
    user: str | None = None
    """`USER` or `UID:GID` that it runs as; the image's own when left out."""
    memory: Size | None = None
    """Memory above which it is killed."""

    async def work(self, run: RunContext) -> dict[str, Any]:
        """Create it, start it, read it to its end, remove it."""
        name = _name(run)
        try:
            await _remove(name)
            await self._create(name, run)
            return await self._watch(name, run)
        except ServiceError as fault:
            raise JobFailed(redact(str(fault)), hint=fault.hint) from None
        finally:
            with suppress(ServiceError):
                await asyncio.shield(_end(name))

    async def _create(self, name: str, run: RunContext) -> None:
        body = {
            "Image": self.image,
            "Cmd": self.command,
            "Env": [f"{key}={value}" for key, value in self.variables(run).items()],
            "User": self.user or "",
            "Labels": {"mainstay.job": run.job, "mainstay.run": run.id},
            "HostConfig": {
                "Binds": self.volumes,
                "NetworkMode": self.network or "default",
                "Memory": self.memory or 0,
            },
        }
        try:
            await ask("POST", "/containers/create", {"name": name}, body)
        except NotThere as fault:
            raise JobFailed(redact(str(fault)), hint=f"docker pull {self.image}", retry=False) from None

    async def _watch(self, name: str, run: RunContext) -> dict[str, Any]:
        lines = Lines(run.log)
        path = f"/containers/{quote(name, safe='')}"
        await ask("POST", f"{path}/start")
        await follow(f"{path}/logs", {"follow": "1", "stdout": "1", "stderr": "1"}, lines.feed)
        lines.close()
        code = (await ask("POST", f"{path}/wait"))["StatusCode"]
        if (await ask("GET", f"{path}/json"))["State"].get("OOMKilled"):
            raise JobFailed(f"{self.image} needed more memory than it may have and was killed")
        return ended(int(code), lines.last, self.image)

    async def foresee(self, look: Look) -> list[str]:
        """Say what would be run."""
        mounts = f", with {', '.join(self.volumes)}" if self.volumes else ""
        return [redact(f"{self.image} {' '.join(self.command or [])}".strip() + mounts)]


def _name(run: RunContext) -> str:
    return f"mainstay-{re.sub(r'[^A-Za-z0-9_.-]', '-', run.job)}-{run.id}"


async def _end(name: str) -> None:
    """Let it end by itself for a moment, then remove it."""
    with suppress(ServiceError):
        await ask("POST", f"/containers/{quote(name, safe='')}/stop", {"t": str(GRACE)})
    await _remove(name)


async def _remove(name: str) -> None:
    with suppress(NotThere):
        await ask("DELETE", f"/containers/{quote(name, safe='')}", {"force": "1", "v": "1"})
