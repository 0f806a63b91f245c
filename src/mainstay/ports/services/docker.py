"""A container of Docker, through the Engine API."""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

from mainstay.ports.clock import Clock
from mainstay.ports.services.base import ServiceError, ServiceState, Standing
from mainstay.ports.services.engine_api import NotThere, ask, events

GRACE = 10
"""Seconds that a container gets between SIGTERM and SIGKILL."""


class DockerControl:
    """Asks and tells Docker about one container."""

    def __init__(self, container: str, clock: Clock) -> None:
        self.container = container
        self._clock = clock
        self._path = f"/containers/{quote(container, safe='')}"

    async def state(self) -> ServiceState:
        """Inspect it. A container that somebody stopped with `docker stop` is held."""
        try:
            found = await ask("GET", f"{self._path}/json", within=15)
            state = found["State"]
            if state["Status"] in ("running", "restarting"):
                return ServiceState(
                    Standing.RUNNING, _words(state), _stamp(state["StartedAt"]), state["Pid"] or None
                )
            held = await self._stopped_by_hand(found)
        except NotThere:
            return ServiceState(Standing.MISSING, f"there is no container {self.container}")
        except ServiceError as fault:
            return ServiceState(Standing.UNKNOWN, str(fault))
        words = "stopped on purpose" if held else _words(state)
        return ServiceState(Standing.STOPPED, words, _stamp(state["FinishedAt"]), held=held)

    async def start(self) -> None:
        """Start it; a paused one goes on."""
        if (await ask("GET", f"{self._path}/json"))["State"]["Paused"]:
            await ask("POST", f"{self._path}/unpause")
        else:
            await ask("POST", f"{self._path}/start")

    async def stop(self) -> None:
        """Stop it."""
        await ask("POST", f"{self._path}/stop", {"t": str(GRACE)})

    async def restart(self) -> None:
        """Restart it, with SIGKILL when SIGTERM does not help."""
        await ask("POST", f"{self._path}/restart", {"t": str(GRACE)})

    async def reload(self) -> None:
        """Have the container's program read its files anew, by SIGHUP. Raises `ServiceError` when it does not run."""
        await ask("POST", f"{self._path}/kill", {"signal": "HUP"})

    async def ensure_running(self) -> bool:
        """Do nothing: Docker starts its containers itself."""
        return False

    async def _stopped_by_hand(self, found: dict[str, Any]) -> bool:
        """Look for the event that only a stop by somebody leaves; the daemon remembers some hundred events."""
        since = _stamp(found["State"]["StartedAt"]) or 0.0
        until = self._clock.now()  # a moment in the future would keep the daemon waiting for it
        if found["State"]["Status"] == "created":
            return False
        filters = json.dumps({"container": [found["Id"]], "event": ["stop"]})
        told = await events({"since": f"{since:.9f}", "until": f"{until:.9f}", "filters": filters})
        return bool(told)


def _words(state: dict[str, Any]) -> str:
    if state.get("OOMKilled"):
        return "killed: out of memory"
    health = state.get("Health", {}).get("Status")
    if state["Status"] == "exited":
        return f"exited with {state['ExitCode']}"
    return f"{state['Status']}, {health}" if health else str(state["Status"])


def _stamp(text: str) -> float | None:
    """Read Docker's time; the year 1 stands for never."""
    moment = datetime.fromisoformat(text)
    return None if moment.year < 1970 else moment.timestamp()
