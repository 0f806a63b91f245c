"""A service of Docker Swarm, through the Engine API of a manager."""

import json
from typing import Any
from urllib.parse import quote

from mainstay.ports.services.base import ServiceError, ServiceState, Standing
from mainstay.ports.services.engine_api import NotThere, ask

REPLICAS = "mainstay.replicas"
"""Label that keeps how many replicas there were before a stop."""


class SwarmControl:
    """Asks and tells the swarm about one service."""

    def __init__(self, service: str) -> None:
        self.service = service

    async def state(self) -> ServiceState:
        """Count the tasks that run. A service scaled to none is held."""
        try:
            found = await self._inspect()
            filters = json.dumps({"service": [found["ID"]], "desired-state": ["running"]})
            tasks = await ask("GET", "/tasks", {"filters": filters}, within=15)
        except NotThere:
            return ServiceState(Standing.MISSING, f"there is no service {self.service} in the swarm")
        except ServiceError as fault:
            return ServiceState(Standing.UNKNOWN, str(fault))
        wanted = _replicas(found["Spec"])
        running = sum(1 for task in tasks if task["Status"]["State"] == "running")
        words = f"{running} of {wanted if wanted is not None else len(tasks)} tasks run"
        if wanted == 0:
            return ServiceState(Standing.STOPPED, "scaled to no replicas", held=True)
        return ServiceState(Standing.RUNNING if running else Standing.STOPPED, words)

    async def start(self) -> None:
        """Scale it up again to what it was before a stop; else have its tasks made anew."""
        found = await self._inspect()
        spec = found["Spec"]
        if _replicas(spec) == 0:
            spec["Mode"]["Replicated"]["Replicas"] = int(spec.get("Labels", {}).pop(REPLICAS, 1))
            await self._update(found)
        else:
            await self.restart()

    async def stop(self) -> None:
        """Scale it to no replicas, and keep how many there were in a label."""
        found = await self._inspect()
        wanted = _replicas(found["Spec"])
        if wanted is None:
            raise ServiceError(
                f"{self.service} runs on every node and cannot be scaled", hint="remove the service"
            )
        if wanted:
            found["Spec"].setdefault("Labels", {})[REPLICAS] = str(wanted)
            found["Spec"]["Mode"]["Replicated"]["Replicas"] = 0
            await self._update(found)

    async def restart(self) -> None:
        """Have all tasks made anew, by the service's own update rules (`docker service update --force`)."""
        found = await self._inspect()
        task = found["Spec"]["TaskTemplate"]
        task["ForceUpdate"] = int(task.get("ForceUpdate", 0)) + 1
        await self._update(found)

    async def ensure_running(self) -> bool:
        """Do nothing: the swarm starts its tasks itself."""
        return False

    async def _inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = await ask("GET", f"/services/{quote(self.service, safe='')}", within=15)
        return found

    async def _update(self, found: dict[str, Any]) -> None:
        params = {"version": str(found["Version"]["Index"]), "registryAuthFrom": "spec"}
        await ask("POST", f"/services/{found['ID']}/update", params, found["Spec"])


def _replicas(spec: dict[str, Any]) -> int | None:
    """Give how many replicas are wanted; None for a service that runs on every node."""
    replicated = spec["Mode"].get("Replicated")
    return None if replicated is None else int(replicated.get("Replicas", 1))
