"""Names: shared lookups, hanging name servers, what is kept, and the machine's own resolver in a world of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.core.check import ResolveError
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.resolver import (
    SLOW_THREADS,
    THREADS,
    Resolver,
    is_loopback,
    literal,
    system_lookup,
)
from tests.helpers import ROOT, aeventually
from tests.servers.dns import NameServer, client


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.stop()


class Book:
    """A lookup that counts, and waits for a gate where it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.addresses = ["192.0.2.1"]

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if host in self.gates:
            self.gates[host].wait(30)
        return list(self.addresses)

    def hang(self, host: str) -> threading.Event:
        return self.gates.setdefault(host, threading.Event())


@pytest.fixture
def book() -> Iterator[Book]:
    made = Book()
    yield made
    for gate in made.gates.values():
        gate.set()


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("192.0.2.7", ["192.0.2.7"]),
        ("[2001:db8::1]", ["2001:db8::1"]),
        ("::1", ["::1"]),
        ("fe80::1%eth0", ["fe80::1%eth0"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("LOCALHOST.", ["127.0.0.1", "::1"]),
        ("api.localhost", ["127.0.0.1", "::1"]),
    ],
)
async def test_addresses_and_this_machine_need_no_lookup(book: Book, host: str, addresses: list[str]) -> None:
    assert await Resolver(SystemClock(), book).resolve(host) == addresses
    assert book.asked == []


def test_what_is_this_machine() -> None:
    assert is_loopback("127.0.0.53")
    assert is_loopback("[::1]")
    assert is_loopback("db.localhost")
    assert not is_loopback("localhost.example.com")
    assert not is_loopback("192.0.2.1")
    assert literal("1.2.3") is None


async def test_those_who_ask_together_share_one_lookup(book: Book) -> None:
    gate = book.hang("a.example.com")
    resolver = Resolver(SystemClock(), book)
    asking = [asyncio.ensure_future(resolver.resolve("a.example.com")) for _ in range(50)]
    await aeventually(lambda: book.asked)
    gate.set()
    assert await asyncio.gather(*asking) == [["192.0.2.1"]] * 50
    assert book.asked == ["a.example.com"]


async def test_addresses_are_kept_for_a_while_and_a_second_look_takes_none(
    clock: FakeClock, book: Book
) -> None:
    resolver = Resolver(clock, book, keep=30.0)
    place = LocalPlace(clock, resolver)
    for _ in range(3):
        assert await place.resolve("a.example.com", 80) == ["192.0.2.1"]
    assert len(book.asked) == 1
    book.addresses = ["192.0.2.2"]
    assert await place.resolve("a.example.com", 80) == ["192.0.2.1"]
    assert await place.fresh().resolve("a.example.com", 80) == ["192.0.2.2"]
    assert await place.resolve("a.example.com", 80) == ["192.0.2.2"]
    await clock.advance(31)
    await place.resolve("a.example.com", 80)
    assert len(book.asked) == 3


async def test_faults_are_not_kept(names: NameServer) -> None:
    resolver = Resolver(SystemClock(), client(names.address))
    for _ in range(2):
        with pytest.raises(ResolveError) as fault:
            await resolver.resolve("no.such.test")
        assert fault.value.definite
    assert len(names.asked) == 2
    with pytest.raises(ResolveError) as fault:
        await resolver.resolve("a.broken.test")
    assert not fault.value.definite


async def test_a_name_server_that_hangs_is_waited_for_only_so_long(names: NameServer) -> None:
    resolver = Resolver(SystemClock(), client(names.address), cap=0.1)
    with pytest.raises(ResolveError, match=r"did not answer for a\.hanging\.test within 0\.1s") as fault:
        await resolver.resolve("a.hanging.test")
    assert not fault.value.definite


async def test_more_hanging_names_than_threads_do_not_stop_the_others(book: Book) -> None:
    """The first time they take all threads, and what hangs is found out; from then on they have only a few."""
    resolver = Resolver(SystemClock(), book, cap=0.3, keep=0.0)
    hanging = [f"{number}.hanging.test" for number in range(THREADS + 20)]
    for name in hanging:
        book.hang(name)
    first = await asyncio.gather(*(resolver.resolve(name) for name in hanging), return_exceptions=True)
    assert all(isinstance(each, ResolveError) and not each.definite for each in first)
    for gate in book.gates.values():
        gate.set()
    await aeventually(lambda: not resolver._asking)
    for name in hanging[:THREADS]:
        book.gates[name] = threading.Event()
    again = [asyncio.ensure_future(resolver.resolve(name)) for name in hanging[:THREADS]]
    await aeventually(lambda: len(book.asked) >= len(hanging) + SLOW_THREADS)
    assert await resolver.resolve("a.healthy.test") == ["192.0.2.1"]
    await asyncio.gather(*again, return_exceptions=True)


async def test_a_name_that_answers_again_is_like_any_other(book: Book) -> None:
    resolver = Resolver(SystemClock(), book, cap=0.1, keep=0.0)
    gate = book.hang("a.example.com")
    with pytest.raises(ResolveError):
        await resolver.resolve("a.example.com")
    gate.set()
    await aeventually(lambda: not resolver._asking)
    assert await resolver.resolve("a.example.com") == ["192.0.2.1"]
    assert "a.example.com" not in resolver._hung


def test_a_lookup_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    code = (
        "import asyncio, threading\n"
        "from mainstay.ports.clock import SystemClock\n"
        "from mainstay.ports.resolver import Resolver\n"
        "def hang(host):\n    threading.Event().wait(60)\n"
        "async def main():\n"
        "    try:\n        await Resolver(SystemClock(), hang, cap=0.1).resolve('a.example.com')\n"
        "    except Exception as fault:\n        print(fault)\n"
        "asyncio.run(main())\n"
    )
    began = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True
    )
    assert "did not answer" in said.stdout
    assert time.monotonic() - began < 30


def test_an_impossible_name_is_definite() -> None:
    with pytest.raises(ResolveError, match="not a name that a host can have") as fault:
        system_lookup("a" * 64 + ".example.com")
    assert fault.value.definite
    with pytest.raises(ResolveError) as fault:
        system_lookup("no-such-host.invalid")
    assert fault.value.definite


# In a mount namespace of its own a process may have its own /etc/resolv.conf, and ask our name server.
OWN_WORLD = """
set -eu
printf 'nameserver 127.0.0.83\\noptions timeout:1 attempts:1\\n' > "$1/resolv.conf"
mount --make-rprivate /
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
exec "$@"
"""
ASK = """
import json, sys
from mainstay.core.check import ResolveError
from mainstay.ports.resolver import system_lookup
for host in sys.argv[1:]:
    try:
        print(json.dumps(system_lookup(host)))
    except ResolveError as fault:
        print(json.dumps(fault.definite))
"""


@pytest.fixture
def own_names() -> Iterator[NameServer]:
    if os.geteuid() != 0 or shutil.which("unshare") is None or not Path("/etc/resolv.conf").is_file():
        pytest.skip("needs to be root, and unshare(1)")
    server = NameServer("127.0.0.83", 53)
    yield server
    server.stop()


def test_the_machine_s_own_resolver_tells_denied_from_unanswered(
    own_names: NameServer, tmp_path: Path
) -> None:
    asked = ["a.healthy.test", "a.hanging.test", "a.broken.test", "no.such.test"]
    argv = [
        "unshare",
        "-m",
        "/bin/sh",
        "-c",
        OWN_WORLD,
        "sh",
        str(tmp_path),
        sys.executable,
        "-c",
        ASK,
        *asked,
    ]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert said.returncode == 0, said.stderr
    assert [json.loads(line) for line in said.stdout.splitlines()] == [["127.0.0.1"], False, False, True]
