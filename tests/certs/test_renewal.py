"""Against a real authority and a real server: issued, renewed, served, put back, never ordered twice."""

from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mainstay.certs.certbot import OURS, Certbot
from mainstay.certs.rule import DAY, HOUR
from mainstay.core.job import JobFailed
from mainstay.ports.clock import SystemClock
from tests.certs.house import NAME, House
from tests.helpers import aeventually
from tests.servers.acme import Window
from tests.servers.nginx import NginxServer

Nginx = Callable[[str], NginxServer]
OLD = {"age": timedelta(days=80), "left": timedelta(days=10)}


async def test_a_certificate_that_is_due_is_renewed_and_served(house: House, nginx: Nginx) -> None:
    house.served_by(nginx)
    before = house.old(**OLD)
    done = await house.renew()
    assert done.data["action"] == "renewed"
    assert done.data["served"] is True
    found = house.in_place()
    assert found.leaf.serial == done.data["serial"] != before.leaf.serial
    assert found.leaf.names == (NAME,)
    assert await aeventually(house.serves)
    row = await house.row()
    assert (row.serial, row.failures, row.fault) == (found.leaf.serial, 0, "")
    assert row.served_at is not None
    assert house.acme.orders == 1


async def test_keys_are_for_their_owner_only(house: House, nginx: Nginx) -> None:
    house.by_dns()
    await house.renew()
    shelf = house.ports.shelf(house.name).directory
    modes = {name: stat.S_IMODE((shelf / name).stat().st_mode) for name in ("privkey.pem", "combined.pem")}
    assert modes == {"privkey.pem": 0o600, "combined.pem": 0o600}
    assert stat.S_IMODE(shelf.stat().st_mode) == 0o700
    assert (shelf / "combined.pem").read_bytes() == house.in_place().fullchain + house.in_place().key
    assert not (house.place / "certbot" / "private").exists()


async def test_one_that_is_not_due_is_kept_and_looked_at(house: House, nginx: Nginx) -> None:
    house.served_by(nginx)
    house.old(age=timedelta(days=1), left=timedelta(days=89))
    done = await house.renew()
    assert done.data["action"] == "kept"
    assert await aeventually(house.serves)
    assert house.acme.orders == 0


async def test_a_server_that_serves_an_old_one_is_reloaded_at_the_next_look(
    house: House, nginx: Nginx
) -> None:
    house.served_by(nginx)
    assert await aeventually(house.serves)
    house.old(age=timedelta(days=1), left=timedelta(days=89))  # somebody changed the files and told nobody
    assert not await house.serves()
    run = house.run()
    done = await house.renew(run)
    assert (done.data["action"], done.data["served"]) == ("kept", True)
    assert "the servers are reloaded" in run.said
    assert house.acme.orders == 0


async def test_a_wildcard_is_proven_by_dns(house: House) -> None:
    house.by_dns(names=["acme.test", "*.acme.test"])
    done = await house.renew()
    assert set(house.in_place().leaf.names) == {"acme.test", "*.acme.test"}
    assert done.data["action"] == "issued"


async def test_servers_can_start_before_there_is_one(house: House, nginx: Nginx) -> None:
    """By webroot no certificate is issued without the server, and without files no server starts."""
    house.certificate(webroot=house.place / "webroot", served="unchecked")
    with pytest.raises(JobFailed, match="webroot does not exist"):
        await house.renew()
    assert house.in_place().leaf.self_signed
    row = await house.row()
    assert (row.serial, row.not_after) == (None, None)
    house.served_by(nginx, old=False)
    assert await aeventually(house.serves)
    done = await house.renew(force=True)
    assert done.data["action"] == "issued"
    assert not house.in_place().leaf.self_signed
    assert await aeventually(house.serves)


async def test_it_is_renewed_when_the_authority_says_so(house: House) -> None:
    house.by_dns()
    await house.renew()
    first = house.in_place().leaf
    now = time.time()
    house.acme.window = Window(now + 20 * DAY, now + 21 * DAY)
    kept = await house.renew()
    assert kept.data["action"] == "kept"
    row = await house.row()
    assert row.ari_start == pytest.approx(now + 20 * DAY, abs=1)
    assert row.due_at is not None
    assert now + 20 * DAY <= row.due_at <= now + 21 * DAY
    # It was asked once and said to come back in six hours: nobody asks before.
    await house.renew()
    assert sum(path.startswith("/ari/") for path in house.acme.asked) == 1
    assert f"/ari/{first.ari}" in house.acme.asked
    later = House(house.ports.store, _Ahead(20.99 * DAY), house.place, house.acme)
    later.by_dns()
    done = await later.renew()
    assert done.data["action"] == "renewed", done.summary
    assert later.in_place().leaf.serial != first.serial


class _Ahead(SystemClock):
    """The machine's clock, some days ahead."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def now(self) -> float:
        return time.time() + self.ahead


async def test_a_revoked_one_is_replaced_at_once(house: House) -> None:
    house.by_dns()
    await house.renew()
    first = house.in_place().leaf
    assert (await house.renew()).data["action"] == "kept"
    live = house.place / "certbot" / "config" / "live" / NAME / "cert.pem"
    config = [
        word
        for name in ("config", "work", "logs")
        for word in (f"--{name}-dir", house.place / "certbot" / name)
    ]
    subprocess.run(
        [*OURS, "revoke", "--non-interactive", "--no-delete-after-revoke", "--cert-path", live, *config,
         "--server", house.acme.directory],
        check=True, capture_output=True, env={**os.environ, "REQUESTS_CA_BUNDLE": str(house.acme.ca)},
    )  # fmt: skip
    assert house.acme.status(first.serial) == "Revoked"
    done = await house.renew()
    assert done.data["action"] == "renewed"
    assert "revoked" in done.data["why"]
    assert "key compromise" in done.data["why"]


async def test_what_was_there_is_put_back_when_a_server_cannot_reload(house: House, nginx: Nginx) -> None:
    house.served_by(nginx, reload={"command": ["sh", "-c", "echo no such directive >&2; exit 1"]})
    before = house.old(**OLD)
    with pytest.raises(JobFailed, match=r"no such directive.*put back") as failed:
        await house.renew()
    assert not failed.value.retry
    assert house.in_place().leaf == before.leaf
    row = await house.row()
    assert row.failures == 1
    assert row.retry_at is not None
    assert row.retry_at >= time.time() + HOUR - 60
    # The next one takes what was issued already.
    house.certificate(
        **{
            **_options(house),
            "reload": {"command": ["sh", "-c", f"kill -HUP {house.server.engine.pid}"]},  # type: ignore[union-attr]
        }
    )
    with pytest.raises(JobFailed, match="no such directive"):
        await house.renew()
    await _let_the_pause_pass(house)
    done = await house.renew()
    assert done.data["action"] == "installed"
    assert house.acme.orders == 1
    assert await aeventually(house.serves)


def _options(house: House) -> dict[str, object]:
    made = house.ports.certificates[house.name]
    return {name: getattr(made, name) for name in ("webroot", "served")}


async def _let_the_pause_pass(house: House) -> None:
    from mainstay.store import certificates

    row = await house.row()
    await house.ports.store.write(
        lambda tx: certificates.put(tx, dataclasses.replace(row, retry_at=time.time() - 1))
    )


async def test_what_was_there_is_put_back_when_another_one_is_served(house: House, nginx: Nginx) -> None:
    server = house.served_by(nginx)
    served = {"addresses": [f"127.0.0.1:{server.port}"], "within": 0.0}
    house.certificate(webroot=house.place / "webroot", reload={"command": ["true"]}, served=served)
    before = house.old(age=timedelta(days=80), left=timedelta(days=10))
    with pytest.raises(JobFailed, match=f"another certificate is served for {NAME} at 127.0.0.1.*put back"):
        await house.renew()
    assert house.in_place().leaf == before.leaf


async def test_one_that_has_expired_is_not_put_back(house: House, nginx: Nginx) -> None:
    house.served_by(nginx, reload={"command": ["false"]})
    before = house.old(age=timedelta(days=90), left=timedelta(seconds=-5))
    with pytest.raises(JobFailed, match="none to put back"):
        await house.renew()
    assert house.in_place().leaf.serial != before.leaf.serial


async def test_after_a_failure_nothing_is_ordered_for_a_while(house: House) -> None:
    house.by_dns()
    house.acme.refuse = (
        429,
        {
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "too many certificates (5) already issued for this exact set of domains in the last 168h0m0s, "
            "retry after 2126-01-02 03:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/",
        },
    )
    with pytest.raises(JobFailed, match="too many certificates"):
        await house.renew()
    row = await house.row()
    assert row.retry_at == datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    for _ in range(3):
        with pytest.raises(JobFailed, match="too many certificates"):
            await house.renew()
    assert house.acme.orders == 1
    house.acme.refuse = None
    done = await house.renew(force=True)
    assert done.data["action"] == "issued"
    assert (await house.row()).failures == 0


async def test_a_killed_run_takes_what_it_had_ordered(house: House) -> None:
    house.by_dns()
    run = house.run()
    found = await run.step("look", _look(house, run))
    # Certbot was done, and the process was killed before the step was kept.
    await Certbot(house.place / "certbot", house.ports.clock).order(house.ports.certificates[NAME], run.log)
    assert house.acme.orders == 1
    assert found["action"] == "order"
    done = await house.renew(run)
    assert done.data["action"] == "issued"
    assert house.acme.orders == 1


def _look(house: House, run: object):  # type: ignore[no-untyped-def]
    from mainstay.certs.renewal import Renewal

    return Renewal(run, house.ports, NAME).look  # type: ignore[arg-type]
