"""The inbox as people run it: `mainstay up --only edge`, changed while it runs, ended in order."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.edge.http.meter import read
from tests.edge.inbox.ledger import everything
from tests.edge.inbox.sender import SECRET, Sender
from tests.helpers import aeventually, command, installed_environment
from tests.journals import sqlite_journal
from tests.servers.process import die_with_parent, free_port


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """The process, its configuration, its port."""
    port, file = free_port(), tmp_path / "mainstay.yaml"
    file.write_text(config(port, "bank"))
    process = subprocess.Popen(
        command("up", "--only", "edge", "--config", str(file)),
        env=installed_environment(MAINSTAY_HOOKS=SECRET),
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509  # it makes one system call
    )
    yield process, file, port
    process.kill()
    process.wait(10)


def config(port: int, *sources: str) -> str:
    """A configuration with these sources."""
    webhooks = "".join(f"  {name}: {{secrets: [{{secret: hooks}}]}}\n" for name in sources)
    edge = f"edge: {{webhooks: '127.0.0.1:{port}'}}"
    return f"name: house\njournal: sqlite:///journal.db\nstate_dir: state\n{edge}\nwebhooks:\n{webhooks}"


async def test_it_takes_webhooks_follows_changes_and_ends_in_order(
    edge: tuple[subprocess.Popen[bytes], Path, int], tmp_path: Path
) -> None:
    process, file, port = edge
    sender = Sender(port)

    async def taken(source: str, body: bytes) -> bool:
        return (await sender.send(body, source=source)).status == 202

    assert await aeventually(lambda: taken("bank", b"1"), 20)
    assert (await sender.send(source="shop")).status == 404
    file.write_text(config(port, "bank", "shop"))
    process.send_signal(signal.SIGHUP)
    assert await aeventually(lambda: taken("shop", b"2"))
    assert await taken("bank", b"3")

    def counted(name: str, *labels: str) -> float:
        return read(tmp_path / "state" / "edge", time.time())[name, labels]

    assert await aeventually(lambda: counted("mainstay_inbox_webhooks_total", "bank", "queued") == 2)
    assert counted("mainstay_inbox_trouble") == 0
    process.send_signal(signal.SIGTERM)
    assert await aeventually(lambda: process.poll() == 0, 20)
    sender.close()
    async with sqlite_journal(tmp_path).opened() as store:
        found = await store.read(everything)
    assert [(event.source, event.body) for event in found] == [("bank", b"1"), ("shop", b"2"), ("bank", b"3")]
