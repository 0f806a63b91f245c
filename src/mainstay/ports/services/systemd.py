"""A unit of systemd, through systemctl."""

import asyncio

from mainstay.core.units import format_duration
from mainstay.ports.clock import Clock
from mainstay.ports.environment import inherited
from mainstay.ports.services.base import ServiceError, ServiceState, Standing

SHOWN = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "ActiveEnterTimestampMonotonic",
    "UnitFileState",
)
LOOK_WITHIN = 15.0
ACT_WITHIN = 180.0
"""systemd itself gives a unit 90 seconds to stop and 90 to start, unless the unit says otherwise."""


class SystemdControl:
    """Asks and tells systemd about one unit."""

    def __init__(self, unit: str, clock: Clock) -> None:
        self.unit = unit
        self._clock = clock

    async def state(self) -> ServiceState:
        """Ask how the unit stands. An inactive unit that did not fail was stopped on purpose."""
        try:
            said = await _systemctl("show", f"--property={','.join(SHOWN)}", self.unit, within=LOOK_WITHIN)
        except ServiceError as fault:
            return ServiceState(Standing.UNKNOWN, str(fault))
        shown = dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
        if shown.get("LoadState") in ("not-found", "masked", None):
            return ServiceState(
                Standing.MISSING, f"systemd knows no usable unit {self.unit}: {shown.get('LoadState')}"
            )
        active = shown.get("ActiveState", "unknown")
        detail = f"{active} ({shown.get('SubState', '')})"
        if active in ("active", "reloading", "activating"):
            return ServiceState(
                Standing.RUNNING, detail, self._since(shown), int(shown.get("MainPID") or 0) or None
            )
        result = shown.get("Result", "success")
        held = active == "inactive" and result == "success"
        return ServiceState(Standing.STOPPED, detail if held else f"{detail}: {result}", held=held)

    async def start(self) -> None:
        """Start the unit."""
        await self._reset()
        await _systemctl("start", self.unit, within=ACT_WITHIN)

    async def stop(self) -> None:
        """Stop the unit."""
        await _systemctl("stop", self.unit, within=ACT_WITHIN)

    async def restart(self) -> None:
        """Restart the unit, even when systemd has given it up."""
        await self._reset()
        await _systemctl("restart", self.unit, within=ACT_WITHIN)

    async def reload(self) -> None:
        """Have the unit read its files anew, without an interruption. Raises `ServiceError` when it cannot."""
        await _systemctl("reload", self.unit, within=ACT_WITHIN)

    async def ensure_running(self) -> bool:
        """Do nothing: systemd starts its units itself."""
        return False

    async def _reset(self) -> None:
        # Without this a unit that failed too often in a row (StartLimitBurst) refuses to start.
        try:
            await _systemctl("reset-failed", self.unit, within=LOOK_WITHIN)
        except ServiceError as fault:
            if "not loaded" not in fault.what:
                raise

    def _since(self, shown: dict[str, str]) -> float | None:
        entered = int(shown.get("ActiveEnterTimestampMonotonic") or 0)
        return self._clock.now() - (self._clock.monotonic() - entered / 1e6) if entered else None


async def _systemctl(*arguments: str, within: float) -> str:
    """Run systemctl without a shell; give what it wrote."""
    try:
        child = await asyncio.create_subprocess_exec(
            "systemctl",
            "--no-ask-password",
            "--no-pager",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited(), "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise ServiceError(
            "there is no systemctl on this machine", hint="use runs_on: {process: ...} or docker:NAME"
        ) from None
    try:
        async with asyncio.timeout(within):
            out, err = await child.communicate()
    except TimeoutError:
        raise ServiceError(f"systemctl {arguments[0]} took longer than {format_duration(within)}") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        reason = " ".join(err.decode(errors="replace").split()) or f"exit code {child.returncode}"
        raise ServiceError(f"systemctl {arguments[0]} {arguments[-1]}: {reason}", hint=_hint(reason))
    return out.decode(errors="replace")


def _hint(reason: str) -> str | None:
    if "not been booted with systemd" in reason or "connect to bus" in reason:
        return "systemd does not run here"
    if "Access denied" in reason or "authentication required" in reason.lower():
        return "run mainstay as root, or allow it by a polkit rule"
    return None
