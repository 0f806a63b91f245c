"""The access log: what is in it, what never is, and that no disk is felt by anybody who asks for something."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mainstay.edge.http import accesslog
from mainstay.edge.http.accesslog import AccessLog, said
from mainstay.edge.http.exchange import Exchange
from mainstay.edge.http.meter import Meter, read
from mainstay.edge.http.witness import Witness
from mainstay.ports.clock import FakeClock
from tests.edge.door import Answering, Ledger, calling, serving
from tests.helpers import eventually

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ROOMY = 1_000_000


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_says_what_became_of_a_request_and_no_secret(tmp_path: Path) -> None:
    clock, log, meter = FakeClock(), AccessLog(tmp_path / "log" / "access.log", ROOMY), Meter()
    send = (
        b"POST /hooks?token=s3cr3t HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer s3cr3t\r\nCookie: s3cr3t\r\n"
        b'User-Agent: x"y\\z\xe9\r\nContent-Length: 5\r\n\r\nhello'
    )
    async with (
        serving(Ledger(), clock=clock, observer=Witness("webhooks", meter, clock, log)) as server,
        calling(server) as client,
    ):
        client.send(send)
        assert (await client.answer())[0] == 200
        client.send(GET.replace(b"Host", b"Host "))
        assert (await client.answer())[0] == 400
    log.close()
    first, second = lines(log.path)
    assert first == {
        "at": 1_780_000_000.0,
        "listener": "webhooks",
        "peer": "127.0.0.1",
        "method": "POST",
        "host": "a.example",
        "path": "/hooks",
        "status": 200,
        "in": 5,
        "out": 4,
        "ms": 0.0,
        "agent": 'x"y\\z\xe9',
    }
    assert second["status"] == 400
    assert second["why"] == "Invalid header token"
    assert "s3cr3t" not in log.path.read_text()
    assert log.path.stat().st_mode & 0o077 == 0


async def test_a_handlers_notes_and_a_client_that_went_are_in_it(tmp_path: Path) -> None:
    clock, log = FakeClock(), AccessLog(tmp_path / "access.log", ROOMY)

    def answer(exchange: Exchange) -> None:
        exchange.notes = said("route", "a") + said("why", 'no "key"')

    witness = Witness("gateway", Meter(), clock, log)
    async with serving(Answering(answer), observer=witness) as server, calling(server) as client:
        client.send(GET)
        client.writer.write_eof()
        await client.ended()
    log.close()
    (line,) = lines(log.path)
    assert (line["route"], line["why"], line["status"], line["cut"]) == ("a", 'no "key"', 499, True)


async def test_what_became_of_requests_is_counted(tmp_path: Path) -> None:
    clock, meter = FakeClock(), Meter(tmp_path)
    meter.beat(clock.now())
    ledger = Ledger()
    witness = Witness("gateway", meter, clock)
    async with serving(ledger, clock=clock, observer=witness) as server, calling(server) as client:
        client.send(GET + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
        assert read(tmp_path, clock.now())["mainstay_edge_connections", ("gateway",)] == 1
        client.send(GET.replace(b"1.1", b"3.0"))
        assert (await client.answer())[0] == 505
    meter.beat(clock.now())
    found = read(tmp_path, clock.now())
    assert found["mainstay_edge_requests_total", ("gateway", "200")] == 2
    assert found["mainstay_edge_refused_total", ("gateway", "505")] == 1
    assert found["mainstay_edge_received_bytes_total", ("gateway",)] == 5
    assert found["mainstay_edge_sent_bytes_total", ("gateway",)] == 8
    assert found["mainstay_edge_request_seconds_bucket", ("gateway", "0.0005")] == 2
    assert found["mainstay_edge_connections", ("gateway",)] == 0
    meter.close()


def test_a_file_that_is_large_enough_is_set_aside_once(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    one, two = AccessLog(path, 4096), AccessLog(path, 4096)
    for number in range(200):
        for log in (one, two):
            log.put(f'{{"n":{number},"more":"{"x" * 80}"}}')
            log.flush()
    one.close()
    two.close()
    assert path.stat().st_size < 3 * 4096
    assert {each.name for each in tmp_path.iterdir()} == {"access.log", "access.log.1"}
    assert lines(path)
    assert lines(tmp_path / "access.log.1")


def test_a_file_that_somebody_moved_is_begun_anew(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log", ROOMY)
    log.put("1")
    log.flush()
    eventually(lambda: (tmp_path / "access.log").read_text() == "1\n")
    (tmp_path / "access.log").rename(tmp_path / "moved")
    log.put("2")
    log.close()
    assert ((tmp_path / "moved").read_text(), (tmp_path / "access.log").read_text()) == ("1\n", "2\n")


async def test_a_full_disk_is_counted_and_felt_by_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.log"
    path.symlink_to("/dev/full")
    clock, log = FakeClock(), AccessLog(path, ROOMY)
    async with (
        serving(Ledger(), observer=Witness("gateway", Meter(), clock, log)) as server,
        calling(server) as client,
    ):
        for _ in range(3):
            client.send(GET)
            assert (await client.answer())[0] == 200
            log.flush()
    log.close()
    assert log.dropped == 3
    assert caplog.text.count("No space left on device") == 1


async def test_a_disk_that_hangs_is_felt_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    os.mkfifo(path)  # opening it hangs until somebody reads
    monkeypatch.setattr(accesslog, "MOST_WAITING", 1000)
    clock, log = FakeClock(), AccessLog(path, ROOMY)
    async with (
        serving(Ledger(), observer=Witness("gateway", Meter(), clock, log)) as server,
        calling(server) as client,
    ):
        for _ in range(20):
            client.send(GET)
            assert (await client.answer())[0] == 200
            log.flush()
        assert 0 < log.dropped < 20
        log.close(patience=0.0)
    reading = os.open(path, os.O_RDONLY)
    dropped = log.dropped
    found = b""
    while piece := os.read(reading, 65536):
        found += piece
    os.close(reading)
    assert found.count(b"\n") == 20 - dropped
