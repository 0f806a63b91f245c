"""A small company for one test: its file, its API, its provider, and `mainstay up` running on it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mainstay.ports.services import procs
from tests.helpers import command, eventually, mainstay
from tests.servers.recorder import Recorder

API = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *args): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

FILE = """
name: journey
state_dir: state
services:
  api:
    critical: true
    runs_on: {{process: {{command: [{python}, api.py, "{port}"]}}}}
    checks: [{{http: {{url: "http://127.0.0.1:{port}/", every: 1s, timeout: 1s}}}}]
    {heal}
{databases}
notify:
  slack: {{url: {{secret: slack_url}}}}
  pagerduty: {{routing_key: {{secret: pagerduty_key}}, url: "{recorder}/v2/enqueue", when: critical}}
web: {{listen: "127.0.0.1:{web}"}}
"""

DATABASES = """
databases:
  shop: {dsn: {secret: shop_dsn}, backup: {to: vault}}
storage:
  vault: {directory: vault}
"""


def free_port() -> int:
    """Give a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Company:
    """The directory, and what can be asked of what runs in it."""

    def __init__(self, home: Path, recorder: Recorder, *, heal: bool, dsn: str | None) -> None:
        self.home = home
        self.file = home / "mainstay.yaml"
        self.recorder = recorder
        self.port, self.web = free_port(), free_port()
        self.up: subprocess.Popen[bytes] | None = None
        (home / "api.py").write_text(API)
        self.text = FILE.format(
            python=sys.executable,
            port=self.port,
            web=self.web,
            heal="heal: {restart: {cooldown: 1s, within: 10s}}" if heal else "",
            databases=DATABASES if dsn else "",
            recorder=recorder.url,
        )
        self.file.write_text(self.text)
        self.environment = {
            "MAINSTAY_SLACK_URL": f"{recorder.url}/services/T/B/journey",
            "MAINSTAY_PAGERDUTY_KEY": "0" * 32,
            "MAINSTAY_SHOP_DSN": dsn or "",
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the company's file."""
        return mainstay(*words, "--config", str(self.file), cwd=self.home, env=self.environment)

    def ask(self, *words: str) -> Any:
        """Run a command with --json and give what it said."""
        return json.loads(self.run(*words, "--json").stdout)

    def state(self, service: str = "api") -> str:
        """The service's state, as `mainstay status` says it."""
        return next(str(row["state"]) for row in self.ask("status")["services"] if row["name"] == service)

    def api_pid(self) -> int | None:
        """The API's process."""
        found = procs.marked(f"{(self.home / 'state').resolve()}:api")
        return found[0] if found else None

    def kill_api(self) -> None:
        """SIGKILL the API."""
        pid = self.api_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def part(self, name: str) -> int:
        """The process of one part of `mainstay up`."""
        assert self.up is not None
        wanted = f"\0--only\0{name}\0".encode()
        for pid in children(self.up.pid):
            if wanted in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError(f"{name} does not run")

    def pages(self) -> list[Mapping[str, Any]]:
        """What the pager accepted, in order."""
        return [each.json() for each in self.recorder.to("/v2/enqueue") if each.accepted]

    @property
    def log(self) -> str:
        """What `mainstay up` wrote."""
        return (self.home / "up.log").read_text()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run `mainstay up` inside the block, from the first good answer of the API on."""
        with (self.home / "up.log").open("ab") as log:
            self.up = subprocess.Popen(
                command("up", "--config", str(self.file)),
                cwd=self.home,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            eventually(lambda: self.state() == "ok", 30)
            yield
        finally:
            self.stop()

    def stop(self) -> int:
        """End `mainstay up` in order; give its exit code."""
        assert self.up is not None
        if self.up.poll() is None:
            self.up.terminate()
        try:
            return self.up.wait(30)
        finally:
            with suppress(ProcessLookupError):
                self.up.kill()
            for pid in procs.marked(f"{(self.home / 'state').resolve()}:api"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found
