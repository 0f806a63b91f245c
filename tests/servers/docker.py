"""A Docker daemon of our own: own socket, own storage, no bridge, no firewall rules, no pulls."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from tests.helpers import eventually
from tests.servers.process import LOOPBACK, Engine, free_port, program, started, unable

IMAGE = "example/busybox:1"
APPLETS = (
    "sh",
    "sleep",
    "httpd",
    "wget",
    "cat",
    "echo",
    "kill",
    "true",
    "false",
    "ls",
    "test",
    "touch",
    "nc",
    "env",
)

# What the daemon says in a container or on a kernel which does not let it do its work.
FORBIDDEN_BY = ("cgroup", "not permitted", "permission denied", "read-only file system")


class DockerServer:
    """`socket` is the daemon's address, `IMAGE` is there. Containers use the host's network or none."""

    image = IMAGE

    def __init__(self) -> None:
        self.binary = program("dockerd", "docker.io")
        self.client = program("docker", "docker.io docker-cli")
        if os.geteuid() != 0:
            unable("dockerd", "only root may start it")
        self.names = itertools.count(1)
        # A short path: the sockets inside have about a hundred characters to live in.
        self.base = Path(tempfile.mkdtemp(prefix="mainstay-docker-"))
        self.config = self.base / "client"
        try:
            self.engine = started(self._launch, self.answers)
        except RuntimeError as error:
            shutil.rmtree(self.base, ignore_errors=True)
            reason = str(error).strip().splitlines()[-1]
            if any(word in reason.lower() for word in FORBIDDEN_BY):
                unable("dockerd", reason)
            raise
        self.make_image(IMAGE)

    @property
    def socket(self) -> Path:
        return self.base / "docker.sock"

    @property
    def url(self) -> str:
        """What DOCKER_HOST takes."""
        return f"unix://{self.socket}"

    def _launch(self) -> Engine:
        argv = [self.binary, "--host", self.url, "--data-root", str(self.base / "data")]
        argv += ["--exec-root", str(self.base / "exec"), "--pidfile", str(self.base / "pid")]
        argv += ["--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false"]
        return Engine(argv, self.base / "log", orphan_signal=signal.SIGTERM)

    def answers(self) -> bool:
        return self.docker("version", "--format", "{{.Server.Version}}") != ""

    def docker(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run the docker command on this daemon; what it wrote, stripped."""
        done = subprocess.run(
            [self.client, *arguments],
            input=stdin or b"",
            env={**os.environ, "DOCKER_HOST": self.url, "DOCKER_CONFIG": str(self.config)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

    def make_image(self, name: str, **files: str) -> str:
        """An image with busybox and the given files (a name's `__` stands for a slash)."""
        busybox = program("busybox", "busybox-static")
        buffer = BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(busybox, "bin/busybox")
            for applet in APPLETS:
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            for path, text in files.items():
                entry = tarfile.TarInfo(path.replace("__", "/"))
                entry.size, entry.mode = len(text.encode()), 0o755
                tar.addfile(entry, BytesIO(text.encode()))
        self.docker("import", "-", name, stdin=buffer.getvalue())
        return name

    def run(self, *command: str, options: tuple[str, ...] = ("--network", "host")) -> str:
        """Start a container in the background; its name."""
        name = f"mainstay-test-{next(self.names)}"
        self.docker("run", "--detach", "--name", name, *options, IMAGE, *command)
        return name

    def state(self, name: str) -> str:
        """Docker's word for a container's state: running, exited, ..."""
        return self.docker("inspect", "--format", "{{.State.Status}}", name)

    def swarm(self) -> None:
        """Become a swarm of one node, once."""
        if self.docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "active":
            # Its usual port may belong to another swarm of this machine, or to the one that was left just before.
            listen = f"{LOOPBACK}:{free_port()}"
            self.docker("swarm", "init", "--advertise-addr", LOOPBACK, "--listen-addr", listen)

    def sweep(self) -> None:
        """Remove every service and every container."""
        if self.docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active":
            for service in self.docker("service", "ls", "-q").split():
                self.docker("service", "rm", service)
        for container in self.docker("ps", "-aq").split():
            with contextlib.suppress(RuntimeError):  # a swarm removes the containers of its services itself
                self.docker("rm", "--force", container)
        eventually(lambda: not self.docker("ps", "-aq"), deadline=30)

    def leave(self) -> None:
        """Be no swarm any more, and take its bridge out of the host."""
        with contextlib.suppress(RuntimeError):
            self.docker("swarm", "leave", "--force")
            self.docker("network", "rm", "docker_gwbridge")

    def stop(self) -> None:
        if self.engine.alive():
            with contextlib.suppress(RuntimeError, AssertionError):
                self.sweep()
            self.leave()
        self.engine.stop(deadline=30)
        # The daemon leaves the mount of its network namespace behind, and the directory could not be removed.
        for mount in (self.base / "exec" / "netns").glob("*"):
            subprocess.run(["umount", str(mount)], check=False, capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)


def serve() -> Iterator[DockerServer]:
    """The life of a daemon, for a fixture."""
    server = DockerServer()
    try:
        yield server
    finally:
        server.stop()
