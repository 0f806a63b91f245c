"""Whatever runs a service: a process of ours, a unit of systemd, a container of Docker, a service of Swarm."""

from pathlib import Path

from mainstay.core.service import Process, Unit
from mainstay.ports.clock import Clock, SystemClock
from mainstay.ports.services.base import ServiceControl, ServiceError, ServiceState, Standing

__all__ = ["ServiceControl", "ServiceError", "ServiceState", "Standing", "control_for"]


def control_for(
    name: str, runs_on: Process | Unit, state_dir: Path, base_dir: Path, clock: Clock | None = None
) -> ServiceControl:
    """Make the control of service `name`. Paths in `runs_on` are relative to `base_dir`; nothing is asked yet."""
    clock = clock or SystemClock()
    if isinstance(runs_on, Process):
        from mainstay.ports.services.process import ProcessControl

        return ProcessControl(name, runs_on, state_dir, base_dir, clock)
    if runs_on.kind == "systemd":
        from mainstay.ports.services.systemd import SystemdControl

        return SystemdControl(runs_on.name, clock)
    if runs_on.kind == "docker":
        from mainstay.ports.services.docker import DockerControl

        return DockerControl(runs_on.name, clock)
    from mainstay.ports.services.swarm import SwarmControl

    return SwarmControl(runs_on.name)
