"""A real OpenSSH server that speaks nothing but SFTP, with an account that is ours."""

from __future__ import annotations

import getpass
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import LOOPBACK, Engine, accepts, free_port, program, started

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {base}/host
AuthorizedKeysFile {base}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
MaxStartups 200
Subsystem sftp internal-sftp
"""


class SftpServer:
    """`root` is a directory of its own; `key` and `host_key` are what a client needs."""

    def __init__(self, base: Path) -> None:
        self.binary = program("sshd", "openssh-server")
        self.base = base
        self.root = base / "root"
        self.root.mkdir()
        keygen = program("ssh-keygen", "openssh-client")
        for name in ("host", "key"):
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(base / name)], check=True)
        self.key = (base / "key").read_text()
        self.host_key = " ".join((base / "host.pub").read_text().split()[:2])
        self.user = getpass.getuser()
        self.host = LOOPBACK
        self.port = 0
        if self.user == "root":
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks its unprivileged half in
        self.engine = started(self._launch, lambda: accepts(self.port))

    def _launch(self) -> Engine:
        self.port = free_port()
        config = self.base / "sshd_config"
        config.write_text(CONFIG.format(port=self.port, base=self.base))
        return Engine([self.binary, "-D", "-e", "-f", str(config)], self.base / "sshd.log")

    def stop(self) -> None:
        self.engine.stop()


def serve() -> Iterator[SftpServer]:
    """The life of a server, for a fixture."""
    with tempfile.TemporaryDirectory(prefix="mainstay-sftp-") as directory:
        server = SftpServer(Path(directory))
        try:
            yield server
        finally:
            server.stop()
