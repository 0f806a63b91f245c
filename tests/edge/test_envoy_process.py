"""`engine: envoy` as people run it: `mainstay up`, a changed file, falls, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.edge.gateway.fronts import envoy
from tests.edge.test_gateway_process import origin
from tests.helpers import bare_environment, command, eventually, mainstay
from tests.servers.process import accepts, die_with_parent, free_port

__all__ = ["origin"]


class House:
    """`mainstay up` with an Envoy."""

    def __init__(self, directory: Path, origin: int) -> None:
        self.port, self.asked, self.web, self.origin = free_port(), free_port(), free_port(), origin
        self.directory, self.file = directory, directory / "mainstay.yaml"
        self.write("unlimited")
        self.process = subprocess.Popen(
            command("up", "--config", str(self.file)),
            env=bare_environment(),
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # it makes one system call
        )
        eventually(lambda: accepts(self.port), 60)
        eventually(lambda: self.ask() == 200, 60)

    def write(self, limit: str, more: str = "") -> None:
        self.file.write_text(
            "name: house\nstate_dir: s\n"
            f"edge: {{gateway: '127.0.0.1:{self.port}', decide: '127.0.0.1:{self.asked}'}}\n"
            f"web: {{listen: '127.0.0.1:{self.web}'}}\n"
            f"gateway:\n  engine: envoy\n  envoy: {{program: {envoy()}}}\n  per_address: unlimited\n"
            f"  routes: [{{path: /, origin: 'http://127.0.0.1:{self.origin}', limit: {limit}{more}}}]\n"
        )

    def ask(self, client: HTTPConnection | None = None) -> int:
        """The status of an answer; 0 when there is none."""
        asking = client or HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            asking.request("GET", "/x")
            answer = asking.getresponse()
            answer.read()
            return answer.status
        except (OSError, HTTPException):
            return 0
        finally:
            if client is None:
                asking.close()

    def running(self, words: str) -> list[int]:
        """Processes of this house with these words in their command."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if words in line and str(self.directory) in line:
                found.append(int(path.parent.name))
        return found

    def said(self, *arguments: str) -> dict[str, object]:
        told = mainstay(*arguments, "--json", "--config", str(self.file))
        assert told.returncode == 0, told.stderr
        found: dict[str, object] = json.loads(told.stdout)
        return found


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory, origin: int) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("h"), origin)
    yield made
    made.process.send_signal(signal.SIGTERM)
    made.process.wait(60)
    for pid in made.running("mainstay"):
        os.kill(pid, signal.SIGKILL)


def test_it_carries_follows_changes_comes_again_and_ends_whole(house: House) -> None:
    assert set(statuses_while_it_changes(house)) == {200}
    house.write("1/h")
    house.process.send_signal(signal.SIGHUP)
    eventually(lambda: house.ask() == 429, 30)
    house.write("nonsense")
    house.process.send_signal(signal.SIGHUP)
    assert house.ask() == 429

    house.write("1/h")
    told = house.said("gateway", "status")
    processes = told["processes"]
    assert isinstance(processes, list)
    assert sorted(need["what"] for one in processes for need in one["needs"]) == ["envoy"]
    (route,) = [route for one in processes for route in one["routes"]]
    assert (route["route"], route["origins"][0]["state"]) == ("/", "up")
    swapped = mainstay("gateway", "swap", "/", "http://127.0.0.1:1", "--config", str(house.file))
    assert (swapped.returncode, "Envoy carries the requests" in swapped.stderr) == (1, True)

    (keeper,) = house.running("--only envoy")
    os.kill(keeper, signal.SIGKILL)  # Envoy goes with it
    eventually(lambda: house.running("--only envoy") not in ([], [keeper]), 30)
    eventually(lambda: house.ask() == 429, 30)
    assert len(house.running("bootstrap.json")) == 3  # Envoy, and the shells that guard it
    house.process.send_signal(signal.SIGTERM)
    assert house.process.wait(60) == 0
    assert house.running("") == []


def statuses_while_it_changes(house: House) -> list[int]:
    """What a client is answered while the routes lead by another way again and again.

    A request in between would have to be refused by somebody who does not know its way.
    """
    statuses: list[int] = []
    stop = threading.Event()

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", house.port, timeout=10)
        while not stop.is_set():
            statuses.append(house.ask(connection))
        connection.close()

    asking = threading.Thread(target=client)
    asking.start()
    for number in range(3):
        before = (house.directory / "s/envoy/known.json").read_text()
        house.write("unlimited", f", carry: {{answer: {20 + number}s}}")
        house.process.send_signal(signal.SIGHUP)
        eventually(lambda before=before: (house.directory / "s/envoy/known.json").read_text() != before, 30)  # type: ignore[misc]
    many = len(statuses) + 50
    eventually(lambda: len(statuses) > many, 30)
    stop.set()
    asking.join()
    return statuses
