"""The edge as processes: shared addresses, reloads under load, an end that cuts nobody off, numbers for `/metrics`."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from mainstay.edge.http.meter import read
from tests.helpers import eventually, installed_environment
from tests.servers.process import accepts, free_port

OPEN = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
IDLE = 10_000 if OPEN in (resource.RLIM_INFINITY, max(OPEN, 12_000)) else 1000
"""Connections, as far as this machine lets a process have them."""
ROOT = Path(__file__).parent.parent.parent


class House:
    """Processes of one configuration."""

    def __init__(self, directory: Path, processes: int) -> None:
        self.port = free_port()
        self.file = directory / "mainstay.yaml"
        self.meters = directory / "state" / "edge"
        self.processes = processes
        self.running: list[subprocess.Popen[bytes]] = []
        self.clients: list[HTTPConnection] = []
        self.said, self.mouth = os.pipe()
        self.write("one")

    def write(self, title: str, more: str = "") -> None:
        edge = f"{{gateway: '127.0.0.1:{self.port}', processes: {self.processes}, drain_timeout: 10s}}"
        self.file.write_text(f"name: house\ntitle: {title}\nstate_dir: state\nedge: {edge}\n{more}")

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.edge.house", str(self.file)]
        environment = installed_environment(MAINSTAY_PULSE=str(self.mouth))
        for _ in range(self.processes):
            self.running.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, pass_fds=[self.mouth], stderr=subprocess.PIPE
                )
            )
        eventually(lambda: self.sample("mainstay_edge_processes") == self.processes, 30)
        eventually(lambda: accepts(self.port), 10)

    def sample(self, name: str, *labels: str) -> float:
        return read(self.meters, time.time()).get((name, labels), 0.0)

    def answers(self) -> float:
        return self.sample("mainstay_edge_requests_total", "gateway", "200")

    def answered(self, count: float) -> bool:
        return self.answers() >= count

    def signal(self, number: signal.Signals) -> None:
        for process in self.running:
            process.send_signal(number)

    def connect(self) -> HTTPConnection:
        self.clients.append(HTTPConnection("127.0.0.1", self.port, timeout=10))
        return self.clients[-1]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for process in self.running:
            process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()
        os.close(self.said)
        os.close(self.mouth)


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, request.param)
    try:
        made.start()
        yield made
    finally:
        made.close()


def ask(client: HTTPConnection, path: str = "/") -> str:
    client.request("GET", path)
    return client.getresponse().read().decode()


def all_say(clients: list[HTTPConnection], title: str) -> bool:
    return all(ask(client) == title for client in clients)


@pytest.mark.parametrize("house", [2], indirect=True)
def test_processes_share_an_address_and_are_reloaded_under_load(house: House) -> None:
    clients = [house.connect() for _ in range(20)]
    answers = [ask(client) for client in clients]
    for number in range(5):
        house.write(f"new {number}")
        house.signal(signal.SIGHUP)
        answers += [ask(client) for _ in range(10) for client in clients]
        eventually(partial(all_say, clients, f"new {number}"))
    assert set(answers) <= {"one", *(f"new {number}" for number in range(5))}
    house.write("wrong", "nonsense: 1\n")
    house.signal(signal.SIGHUP)
    for process in house.running:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(b"the old one stays in force" in line and b"nonsense" in line for line in lines)
    assert {ask(client) for client in clients} == {"new 4"}
    # What it counts is written twice a second.
    eventually(lambda: house.sample("mainstay_edge_requests_total", "gateway", "200") >= 20 + 5 * 200 + 20)
    assert house.sample("mainstay_edge_connections", "gateway") == 20
    assert os.read(house.said, 5) == b"fine\n"
    house.running[0].kill()
    assert eventually(lambda: ask(house.connect())) == "new 4"


@pytest.mark.parametrize("house", [1], indirect=True)
def test_the_end_cuts_nobody_off(house: House) -> None:
    held, other = house.connect(), house.connect()
    held.request("GET", "/held")
    response = held.getresponse()
    assert response.read(6) == b"begun "
    other.request("GET", "/")
    other.getresponse().read()
    with socket.create_connection(("127.0.0.1", house.port)) as releasing:
        releasing.sendall(b"GET /release HTTP/1.1\r\n")  # under way when the end begins
        eventually(lambda: house.sample("mainstay_edge_connections", "gateway") == 3)
        house.signal(signal.SIGTERM)
        eventually(lambda: not accepts(house.port))
        assert house.running[0].poll() is None
        releasing.sendall(b"Host: a\r\n\r\n")
        assert b"Connection: close" in releasing.recv(1000)
        assert response.read() == b"ended"
    assert house.running[0].wait(10) == 0
    assert house.sample("mainstay_edge_connections", "gateway") == 0


@pytest.mark.parametrize("house", [1], indirect=True)
def test_an_idle_connection_costs_less_than_4_kib(house: House) -> None:
    def memory() -> int:
        lines = Path(f"/proc/{house.running[0].pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024

    with ExitStack() as stack:
        for count in (100, IDLE):
            before, answers = memory(), house.answers()
            for _ in range(count):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", house.port)))
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(partial(house.answered, answers + count))
        assert (memory() - before) / IDLE < 4096


def test_only_edge_with_nothing_to_do_says_so(tmp_path: Path) -> None:
    (tmp_path / "mainstay.yaml").write_text("name: x\nstate_dir: state\n")
    command = [sys.executable, "-m", "mainstay", "up", "--only", "edge"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 2
    assert "neither webhooks nor a gateway" in found.stderr
