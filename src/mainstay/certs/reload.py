"""Makes servers take new files."""

from mainstay.certs.program import must
from mainstay.certs.settings import Command, Gateway, Unit
from mainstay.ports.clock import Clock
from mainstay.ports.services.docker import DockerControl
from mainstay.ports.services.systemd import SystemdControl

WITHIN = 120.0
"""Seconds that a command may take."""


async def reload(target: Unit | Gateway | Command, clock: Clock) -> None:
    """Make one server take the new files. Raises `MainstayError` when it says that it could not."""
    if isinstance(target, Command):
        await must(target.command, within=WITHIN)
    elif isinstance(target, Unit):
        control = SystemdControl if target.kind == "systemd" else DockerControl
        await control(target.name, clock).reload()
    # The edge looks at its files twice a second by itself; whether it took them is seen at what it serves.


def words(target: Unit | Gateway | Command) -> str:
    """Say whom."""
    if isinstance(target, Command):
        return " ".join(target.command)[:80]
    return "gateway" if isinstance(target, Gateway) else f"{target.kind}:{target.name}"
