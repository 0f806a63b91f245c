"""A renewal among the rest of mainstay: people are told, incidents open and end, the edge takes new files."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mainstay.app import App, open_app
from mainstay.app import certs as room
from mainstay.app.edge import serve
from mainstay.certs.pem import pair
from mainstay.certs.shelf import Shelf
from mainstay.config import load
from mainstay.core.incident import Severity
from mainstay.core.run import RunState
from mainstay.store import incidents, runs
from tests.helpers import aeventually
from tests.servers.acme import Acme
from tests.servers.authority import Authority
from tests.servers.process import accepts, free_port
from tests.servers.recorder import Recorder

TEXT = """
name: shop
state_dir: state
notify:
  slack: {{url: {{secret: slack_url}}}}
  loud: {{webhook: {{url: {{secret: slack_url}}, when: critical, secret: {{secret: slack_key}}}}}}
certificates:
  - names: [a.test]
    server: {directory}
    server_ca: {ca}
    listen: 127.0.0.1:{port}
    reload: {reload}
    served: {{addresses: ["127.0.0.1:{https}"], within: 10s}}
{more}
"""


class Shop:
    """A whole mainstay with one certificate, with an old one in place."""

    def __init__(self, home: Path, acme: Acme, url: str) -> None:
        self.home = home
        self.acme = acme
        self.environ = {"MAINSTAY_SLACK_URL": url, "MAINSTAY_SLACK_KEY": "key-of-the-webhook"}
        self.shelf = Shelf(home / "state" / "certs" / "a.test")
        self.https = free_port()

    def old(self, age: timedelta, left: timedelta) -> None:
        certificate, key = Authority(self.home).issue("a.test", age=age, left=left)
        found = pair(certificate.read_bytes(), key.read_bytes(), "old")
        self.shelf.point(self.shelf.add(found))

    def write(self, reload: str, more: str = "") -> Path:
        text = TEXT.format(
            directory=self.acme.directory, ca=self.acme.ca, port=self.acme.http_port,
            https=self.https, reload=reload, more=more,
        )  # fmt: skip
        file = self.home / "mainstay.yaml"
        file.write_text(text)
        return file

    async def deliver(self, app: App) -> None:
        """Send what is owed."""
        senders = [asyncio.create_task(sender.run()) for sender in app.senders()]
        try:
            await aeventually(lambda: _none_owed(app))
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)


async def _none_owed(app: App) -> bool:
    from mainstay.store import outbox

    return not await app.store.read(outbox.all_owed)


@pytest.fixture
def shop(tmp_path: Path, acme: Acme, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path, acme, f"{recorder.url}/services/T/B/x")
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    return made


EDGE = """
edge:
  gateway: 127.0.0.1:{port}
  access_log: false
  tls: {{certificate: state/certs/a.test/fullchain.pem, key: state/certs/a.test/privkey.pem}}
gateway: {{routes: [{{path: /, origin: "http://127.0.0.1:9", auth: none}}]}}
"""


async def test_the_edge_takes_a_renewed_certificate_and_slack_is_told(shop: Shop, recorder: Recorder) -> None:
    """HTTP-01 is answered by mainstay itself; the gateway takes the new files by itself, and is seen to serve them."""
    shop.old(age=timedelta(days=80), left=timedelta(days=10))
    file = shop.write("gateway", EDGE.format(port=shop.https))
    edge = asyncio.create_task(serve(file))
    try:
        await aeventually(lambda: edge.done() or accepts(shop.https))
        assert not edge.done()
        async with open_app(load(file)) as app:
            run = await app.runner.run_now("renew:a.test")
            assert (run.state, run.error) == (RunState.DONE, None)
            assert run.outcome["action"] == "renewed"
            assert run.outcome["served"] is True
            await shop.deliver(app)
            await app.runner.stop()
    finally:
        edge.cancel()
        await asyncio.gather(edge, return_exceptions=True)
    assert shop.shelf.current() == run.outcome["serial"]
    (told,) = recorder.requests
    assert "The certificate of a.test was renewed" in told.text


async def test_a_failure_is_an_incident_until_it_is_mended(shop: Shop, recorder: Recorder) -> None:
    shop.old(age=timedelta(days=60), left=timedelta(days=30))
    file = shop.write("{command: ['false']}")
    async with open_app(load(file)) as app:
        run = await app.runner.run_now("renew:a.test")
        assert run.state is RunState.FAILED
        live = await app.store.read(lambda tx: incidents.live_of(tx, "job:renew:a.test"))
        assert live is not None
        assert live.title == "The certificate of a.test is not in order"
        assert live.severity is Severity.WARNING
        # Its life goes on running out: once less than a sixth is left, people are woken.
        shop.old(age=timedelta(days=85), left=timedelta(days=5))
        await _look(app)
        await app.runner.run_now("renew:a.test", {"force": True})
        live = await app.store.read(lambda tx: incidents.live_of(tx, "job:renew:a.test"))
        assert live is not None
        assert live.severity is Severity.CRITICAL
        await shop.deliver(app)
        await app.runner.stop()
    assert len(recorder.requests) == 3  # Slack of the warning; both of what became critical


async def _look(app: App) -> None:
    """Have the journal know what is in place now, as a look does that finds nothing due."""
    from dataclasses import replace

    from mainstay.certs.ports import CertPorts
    from mainstay.store import certificates

    ports = app.port(CertPorts)
    shelf = ports.shelf("a.test")
    leaf = shelf.read(shelf.current() or "").leaf
    await app.store.write(
        lambda tx: certificates.put(
            tx,
            replace(certificates.get(tx, "a.test"), not_before=leaf.not_before, not_after=leaf.not_after),
        )
    )


async def test_a_new_certificate_is_looked_after_at_once(shop: Shop) -> None:
    file = shop.write("{command: ['true']}")
    config = load(file)
    async with open_app(config) as app:
        for _ in range(2):
            await room.begin(config, app.clock, app.store)
        queued = await app.store.read(lambda tx: runs.latest(tx, "renew:a.test"))
        assert [(run.state, run.why) for run in queued] == [(RunState.QUEUED, "it is new")]
