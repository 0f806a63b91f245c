"""What the benches of checks stand beside: the agent as it ships, blackbox, Prometheus, Alertmanager; and victims."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.helpers import bare_environment
from tests.servers.process import LOOPBACK, Engine, free_port

TICKS = os.sysconf("SC_CLK_TCK")


class Running:
    """A program in a directory of its own, gone at the end of the block."""

    def __init__(self, name: str) -> None:
        self.base = Path(tempfile.mkdtemp(prefix=f"mainstay-bench-{name}-"))
        self.engine: Engine | None = None

    def start(self, argv: Sequence[str]) -> None:
        log = self.base / "log"
        self.engine = Engine(argv, log, env=bare_environment(), cwd=self.base)

    def ready(self, question: Callable[[], object], deadline: float = 60.0) -> None:
        """Wait for the first yes; says what the program said when it ended or never got that far."""
        assert self.engine is not None
        self.engine.ready(lambda: _yes(question), deadline)

    @property
    def pid(self) -> int:
        assert self.engine is not None
        return self.engine.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.engine is not None:
            self.engine.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    def cpu(self) -> float:
        """Seconds of processor time that it has used, in all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> float:
        """Megabytes that it holds now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
        raise RuntimeError("no VmRSS")


class Agent(Running):
    """`mainstay up --only agent` with a configuration."""

    def __init__(self, configuration: str) -> None:
        super().__init__("agent")
        (self.base / "mainstay.yaml").write_text(
            f"name: bench\n{configuration}\nstate_dir: {self.base}/state\n"
        )
        self.start([sys.executable, "-m", "mainstay", "up", "--only", "agent"])

    @property
    def journal(self) -> Path:
        return self.base / "journal.db"


def _yes(question: Callable[[], object]) -> bool:
    try:
        return bool(question())
    except (OSError, sqlite3.Error):
        return False


def present(name: str) -> str | None:
    """Where a peer's program is, if it is here."""
    return shutil.which(name)


def reachable(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)


class Blackbox(Running):
    """prometheus-blackbox-exporter as Debian ships it."""

    def __init__(self) -> None:
        super().__init__("blackbox")
        self.url = f"http://{LOOPBACK}:{free_port()}"
        configuration = self.base / "blackbox.yml"
        configuration.write_text("modules: {http_2xx: {prober: http, timeout: 5s}}\n")
        listen = self.url.removeprefix("http://")
        program = "prometheus-blackbox-exporter"
        self.start(
            [program, f"--config.file={configuration}", f"--web.listen-address={listen}", "--log.level=error"]
        )
        self.ready(lambda: reachable(f"{self.url}/-/healthy"))


class Prometheus(Running):
    """Prometheus that scrapes `targets`, and an Alertmanager that posts to `webhook`."""

    def __init__(
        self, targets: Sequence[str], webhook: str, *, every: str, timeout: str, lasting: str, group_wait: str
    ) -> None:
        super().__init__("prometheus")
        self.url, alerts = f"{LOOPBACK}:{free_port()}", f"{LOOPBACK}:{free_port()}"
        self._write(targets, webhook, alerts, every, timeout, lasting, group_wait)
        self.alertmanager = Running("alertmanager")
        argv = [
            "prometheus-alertmanager",
            f"--config.file={self.base}/alertmanager.yml",
            "--cluster.listen-address=",
        ]
        argv += [
            f"--web.listen-address={alerts}",
            f"--storage.path={self.alertmanager.base}",
            "--log.level=error",
        ]
        self.alertmanager.start(argv)
        argv = [
            "prometheus",
            f"--config.file={self.base}/prometheus.yml",
            f"--storage.tsdb.path={self.base}/data",
        ]
        self.start([*argv, f"--web.listen-address={self.url}", "--log.level=error"])
        self.alertmanager.ready(lambda: reachable(f"http://{alerts}/-/ready"))
        self.ready(lambda: reachable(f"http://{self.url}/-/ready"))

    def _write(
        self,
        targets: Sequence[str],
        webhook: str,
        alerts: str,
        every: str,
        timeout: str,
        lasting: str,
        group_wait: str,
    ) -> None:
        quoted = ", ".join(f'"{target}"' for target in targets)
        (self.base / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {every}, evaluation_interval: {every}, scrape_timeout: {timeout}}}\n"
            f"rule_files: [{self.base}/rules.yml]\n"
            f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alerts}"]}}]}}]}}\n'
            f"scrape_configs: [{{job_name: victims, static_configs: [{{targets: [{quoted}]}}]}}]\n"
        )
        (self.base / "rules.yml").write_text(
            f"groups: [{{name: up, rules: [{{alert: Down, expr: up == 0, for: {lasting}}}]}}]\n"
        )
        (self.base / "alertmanager.yml").write_text(
            f"route: {{receiver: hook, group_by: [instance], group_wait: {group_wait}, group_interval: 5m}}\n"
            f"receivers: [{{name: hook, webhook_configs: [{{url: '{webhook}'}}]}}]\n"
        )

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.alertmanager.__exit__(kind, fault, trace)
        super().__exit__(kind, fault, trace)


SERVE = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "9")
        self.send_header("Content-Type", "text/plain; version=0.0.4"); self.end_headers()
        self.wfile.write(b"victim 1\\n")
    def log_message(self, *words): pass
http.server.HTTPServer.request_queue_size = 64
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


class Victim:
    """A small HTTP server in a process of its own, made to be killed or stopped; it also speaks Prometheus' format."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"{LOOPBACK}:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.port)],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )

    def ready(self) -> bool:
        return reachable(f"http://{self.address}/")

    def kill(self) -> None:
        """As the kernel's out-of-memory killer does: the next connection is refused."""
        self.process.kill()
        self.process.wait()

    def hang(self) -> None:
        """As a deadlock does: connections are accepted, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def remove(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
