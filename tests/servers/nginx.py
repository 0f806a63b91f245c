"""A real nginx with the configuration that a test gives it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

from tests.servers.process import LOOPBACK, Engine, accepts, free_port, program, started

# Everything that nginx writes stays in its own directory; the workers are whoever we are.
MAIN = """
daemon off;
{user}
worker_processes 1;
pid {base}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log {base}/access.log;
  client_body_temp_path {base}/body;
  proxy_temp_path {base}/proxy;
  fastcgi_temp_path {base}/fastcgi;
  uwsgi_temp_path {base}/uwsgi;
  scgi_temp_path {base}/scgi;
  {http}
}}
"""


class NginxServer:
    """`http` is the inside of the `http` block; in it `{port}` stands for the port, `{base}` for our directory."""

    def __init__(self, http: str) -> None:
        self.binary = program("nginx", "nginx-light")
        self.base = Path(tempfile.mkdtemp(prefix="mainstay-nginx-"))
        self.config = self.base / "nginx.conf"
        self.http = http
        self.port = 0
        self.engine = started(self._launch, lambda: accepts(self.port))

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def _launch(self) -> Engine:
        self.port = free_port()
        self._write()
        argv = [self.binary, "-p", str(self.base), "-e", "stderr", "-c", str(self.config)]
        return Engine(argv, self.base / "nginx.log")

    def _write(self) -> None:
        http = self.http.replace("{port}", str(self.port)).replace("{base}", str(self.base))
        user = "user root;" if os.geteuid() == 0 else ""
        self.config.write_text(MAIN.format(base=self.base, user=user, http=http))

    def reload(self, http: str) -> None:
        """Take another configuration over with SIGHUP, as `nginx -s reload` does."""
        self.http = http
        self._write()
        self.engine.process.send_signal(signal.SIGHUP)

    def access_log(self) -> str:
        return (self.base / "access.log").read_text()

    def stop(self) -> None:
        self.engine.stop()
        shutil.rmtree(self.base, ignore_errors=True)
