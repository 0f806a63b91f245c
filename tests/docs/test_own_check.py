"""A check of somebody else's, as its page shows: written, packed, installed, asked."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.page import steps
from tests.docs.shell import Shell
from tests.helpers import ROOT
from tests.servers.process import LOOPBACK, free_port


class Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"220 ready\r\n")


@pytest.fixture
def ftp() -> Iterator[int]:
    """The port of somebody who greets as FTP servers do."""
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Greeting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_check_of_one_s_own_works(
    checkout: Path, directory: Path, shell: Callable[[Path], Shell], ftp: int
) -> None:
    (directory / "mainstay").symlink_to(checkout)
    page = ROOT / "docs/how-to/add-a-check.md"
    shell(directory).all(steps(page, {"2121": ftp, "8420": free_port()}))
