"""A real Redis without persistence."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.servers.process import LOOPBACK, Engine, free_port, program, started


class RedisServer:
    """One Redis on a port of its own; `url` names its database 0."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.arguments = arguments
        self.binary = program("redis-server", "redis-server")
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start it, the first time on a free port, later on the same one."""
        keep = self.port

        def launch() -> Engine:
            self.port = keep or free_port()
            argv = [self.binary, "--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self.directory)]
            argv += ["--save", "", "--appendonly", "no", *self.arguments]
            return Engine(argv, self.directory / "redis.log")

        self.engine = started(launch, self.answers)

    def client(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.port, socket_timeout=5)

    def answers(self) -> bool:
        with self.client() as client:
            return bool(client.ping())

    def flush(self) -> None:
        """Forget everything, and come back first if somebody killed it."""
        if not self.engine.alive():
            self.start()
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        self.engine.kill()

    def stop(self) -> None:
        self.engine.stop()


def serve() -> Iterator[RedisServer]:
    """The life of a server, for a fixture."""
    with tempfile.TemporaryDirectory(prefix="mainstay-redis-") as directory:
        server = RedisServer(Path(directory))
        try:
            yield server
        finally:
            server.stop()
