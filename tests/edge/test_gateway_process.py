"""The gateway as people run it: `mainstay up --only edge`, its policy changed while it is under load."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mainstay.edge.http.meter import read
from tests.helpers import command, eventually, installed_environment
from tests.servers.process import accepts, die_with_parent, free_port


class Echo(BaseHTTPRequestHandler):
    """An origin that says what it was asked."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        said = json.dumps(
            {"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class House:
    """One edge process, and one client's connection to it."""

    def __init__(self, directory: Path, origin: int) -> None:
        self.port, self.asked, self.origin, self.directory = free_port(), free_port(), origin, directory
        self.file = directory / "mainstay.yaml"
        self.write("unlimited")
        self.process = subprocess.Popen(
            command("up", "--only", "edge", "--config", str(self.file)),
            env=installed_environment(),
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509  # it makes one system call
        )
        self.client = HTTPConnection("127.0.0.1", self.port, timeout=10)
        eventually(lambda: accepts(self.port), 30)

    def write(self, limit: str) -> None:
        edge = f"{{gateway: '127.0.0.1:{self.port}', decide: '127.0.0.1:{self.asked}', trusted_proxies: []}}"
        routes = f"[{{path: /, origin: 'http://127.0.0.1:{self.origin}', limit: {limit}, name: all}}]"
        gateway = f"{{decide: {{}}, per_address: unlimited, routes: {routes}}}"
        self.file.write_text(f"name: house\nstate_dir: state\nedge: {edge}\ngateway: {gateway}\n")

    def ask(self, path: str = "/", **headers: str) -> tuple[int, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.client.request("GET", path, headers=sent)
        answer = self.client.getresponse()
        return answer.status, answer.read().decode()

    def answers(self, status: int) -> bool:
        return self.ask()[0] == status


@pytest.fixture
def house(tmp_path: Path, origin: int) -> Iterator[House]:
    made = House(tmp_path, origin)
    yield made
    made.client.close()
    made.process.kill()
    made.process.wait()


def test_it_carries_decides_follows_changes_and_ends_in_order(house: House) -> None:
    status, body = house.ask("/a?b=c", X_User_ID="forged", X_Forwarded_For="6.6.6.6")
    seen = json.loads(body)
    assert (status, seen["path"], seen["x-forwarded-for"]) == (200, "/a?b=c", "127.0.0.1")
    assert "x-user-id" not in seen
    asked = {"X_Forwarded_Method": "GET", "X_Forwarded_Uri": "/x", "X_Forwarded_For": "192.0.2.1"}
    assert (
        json.loads(house.ask("/decide/caddy", **asked)[1])["path"] == "/decide/caddy"
    )  # a path like any other
    proxy = HTTPConnection("127.0.0.1", house.asked, timeout=10)
    proxy.request(
        "GET", "/decide/caddy", headers={name.replace("_", "-"): told for name, told in asked.items()}
    )
    answer = proxy.getresponse()
    assert (answer.status, answer.headers["X-User-ID"]) == (200, "")
    proxy.close()
    statuses = []
    for limit in ("1000000/s", "unlimited", "2000000/s"):
        house.write(limit)
        house.process.send_signal(signal.SIGHUP)
        statuses += [house.ask()[0] for _ in range(100)]
    assert set(statuses) == {200}
    house.write("1/h")
    house.process.send_signal(signal.SIGHUP)
    eventually(partial(house.answers, 429))
    house.write("nonsense")
    house.process.send_signal(signal.SIGHUP)
    assert house.answers(429)
    meters, sample = house.directory / "state" / "edge", ("mainstay_edge_requests_total", ("gateway", "200"))
    eventually(lambda: read(meters, time.time())[sample] >= 302)
    log = house.directory / "state" / "edge" / "access.log"
    line = json.loads(eventually(log.read_text).splitlines()[0])
    assert (line["path"], line["status"], line["route"]) == ("/a", 200, "all")
    house.process.send_signal(signal.SIGTERM)
    assert house.process.wait(20) == 0
