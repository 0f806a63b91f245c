"""The job that looks for security updates, from apt to the incident."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mainstay.app.upkeep import holes_hook
from mainstay.core.incident import Incident, Severity
from mainstay.core.run import Run, RunState
from mainstay.incidents.desk import Desk
from mainstay.incidents.routing import Channel, Routing
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents
from mainstay.store.base import Store
from mainstay.upkeep.patches.job import SecurityPatches
from mainstay.upkeep.ports import UpkeepPorts
from tests.upkeep.apts import World
from tests.upkeep.house import House, job_of

DAY = 86400.0
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages")


@pytest.fixture
def house(store: Store, clock: FakeClock, tmp_path: Path) -> House:
    (tmp_path / "state").mkdir()
    house = House(store, clock, tmp_path / "state")
    house.hooks.append(holes_hook(Desk(clock, Routing([Channel("slack"), Channel("pager", "critical")]))))
    return house


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two packages with security updates, one of them on hold; a system whose support lasts."""
    world = World(tmp_path / "apt")
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    world.install(world.deb("web", "1.0"), world.deb("kept", "1.0"))
    world.offer("stable-security", world.deb("web", "1.1"), world.deb("kept", "1.1"))
    world.apt("apt-mark", "hold", "kept")
    (world.root / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\n')
    (world.root / "proc").mkdir()
    return world


def ports(house: House, world: World) -> UpkeepPorts:
    return UpkeepPorts(house.store, house.clock, root=world.root)


def patches(**options: Any) -> SecurityPatches:
    made: SecurityPatches = job_of(SecurityPatches, **{"osv": None, **options})
    return made


async def live(house: House) -> Incident | None:
    return await house.store.read(lambda tx: incidents.live_of(tx, "holes:job"))


def found(run: Run, *kinds: str) -> dict[str, str]:
    return {
        each["subject"]: each["level"]
        for each in run.outcome["weaknesses"]
        if not kinds or each["kind"] in kinds
    }


@needs_root
async def test_what_is_missing_is_told_and_gets_critical_when_nobody_mends_it(
    house: House, world: World
) -> None:
    job = patches(overdue="7d")
    first = await house.run(job, ports=ports(house, world))
    assert first.state is RunState.DONE
    assert found(first, "package") == {"web": "warning", "kept": "warning"}
    assert first.summary.startswith("2 security updates, ")
    opened = await live(house)
    assert opened
    assert (opened.severity, opened.title) == (Severity.WARNING, "This machine has known security holes")
    assert "web: 1.0 is installed, 1.1 mends it" in opened.detail
    await house.clock.advance(8 * DAY)
    later = await house.run(job, ports=ports(house, world))
    assert found(later, "package") == {"web": "critical", "kept": "critical"}
    grown = await live(house)
    assert grown
    assert (grown.id, grown.severity) == (opened.id, Severity.CRITICAL)
    assert world.version("web") == "1.0"


@needs_root
async def test_what_may_be_installed_is_and_the_incident_ends_with_the_last_hole(
    house: House, world: World
) -> None:
    job = patches(apply="security")
    done = await house.run(job, ports=ports(house, world))
    assert (world.version("web"), world.version("kept")) == ("1.1", "1.0")
    assert done.outcome["applied"] == ["web 1.1"]
    assert found(done, "package") == {"kept": "warning"}
    assert await live(house)
    world.apt("apt-mark", "unhold", "kept")
    last = await house.run(job, ports=ports(house, world))
    assert last.outcome["applied"] == ["kept 1.1"]
    assert found(last, "package") == {}
    assert await live(house) is None
    # Nobody was asked about Python packages: that is unknown, and so the whole is not clean.
    assert last.outcome["clean"] is False
    assert "unknown" in last.summary


@needs_root
async def test_outside_of_its_window_it_waits_without_alarm(
    house: House, world: World, clock: FakeClock
) -> None:
    world.apt("apt-mark", "unhold", "kept")
    hour = int(clock.now() // 3600 % 24)
    window = f"{(hour + 2) % 24:02}:00-{(hour + 4) % 24:02}:00"
    job = patches(apply="security", window=window)
    done = await house.run(job, ports=ports(house, world))
    assert found(done, "package") == {"web": "note", "kept": "note"}
    assert await live(house) is None
    assert f"nothing is installed: outside of the window {window}" in await house.lines(done)
    await clock.advance(2.5 * 3600)
    await house.run(job, ports=ports(house, world))
    assert world.version("web") == "1.1"


@needs_root
async def test_packages_that_are_left_to_people_are_told_of(house: House, world: World) -> None:
    world.apt("apt-mark", "unhold", "kept")
    done = await house.run(patches(apply="security", leave=["we*"]), ports=ports(house, world))
    assert done.outcome["applied"] == ["kept 1.1"]
    assert found(done, "package") == {"web": "warning"}
    assert "web: 1.0 is installed, 1.1 mends it; it is left to people" in "".join(await house.lines(done))
    assert world.version("web") == "1.0"


@needs_root
async def test_what_is_left_to_people_comes_along_with_nothing(house: House, world: World) -> None:
    world.install(world.deb("extra", "1.0"))
    world.offer("stable-security", world.deb("extra", "1.1", Depends="web (= 1.1)"))
    world.apt("apt-mark", "unhold", "kept")
    done = await house.run(patches(apply="security", leave=["web"]), ports=ports(house, world))
    assert done.outcome["applied"] == ["kept 1.1"]
    assert (world.version("web"), world.version("extra")) == ("1.0", "1.0")
    assert found(done, "package") == {"web": "warning", "extra": "warning"}


@needs_root
async def test_old_lists_make_it_unknown_and_never_clean(house: House, world: World) -> None:
    world.apt("apt-get", "update")
    world.apt("apt-mark", "unhold", "kept")
    world.apt("apt-get", "-y", "upgrade")
    world.repository.rename(world.repository.with_name("away"))  # the archive cannot be reached any more
    await house.clock.advance(8.5 * DAY)
    done = await house.run(patches(stale="7d"), ports=ports(house, world))
    assert found(done, "unknown")["packages of the system"] == "unknown"
    words = next(
        each["detail"] for each in done.outcome["weaknesses"] if each["subject"].startswith("packages of")
    )
    assert "38d" in words  # they are as old as this test, and the clock is a month and eight days ahead
    assert done.outcome["clean"] is False
    opened = await live(house)
    assert opened
    assert opened.title == "Nobody knows which updates are missing"


@needs_root
async def test_sources_without_security_updates_are_said(house: House, world: World) -> None:
    world.suites = {}
    world.offer("stable", world.deb("other", "1.0"))
    done = await house.run(patches(), ports=ports(house, world))
    [words] = [
        each["detail"] for each in done.outcome["weaknesses"] if each["subject"].startswith("packages of")
    ]
    assert words == "no archive of security updates is among the sources of apt"


@needs_root
async def test_a_failed_installation_is_a_hole_and_not_a_silence(house: House, world: World) -> None:
    deb = next((world.repository / "pool").glob("web_1.1*"))
    world.apt("apt-get", "update")
    deb.write_bytes(b"not what the list says")
    done = await house.run(patches(apply="security"), ports=ports(house, world))
    assert done.state is RunState.DONE
    assert found(done, "package")["web"] == "warning"
    assert found(done, "package")["security updates"] == "warning"
    assert world.version("web") == "1.0"


@needs_root
async def test_a_restart_that_is_due_is_told(house: House, world: World) -> None:
    (world.root / "run/reboot-required").touch()
    (world.root / "run/reboot-required.pkgs").write_text("linux-image-6.1\nlinux-base\nlinux-base\n")
    job = patches(overdue="7d")
    done = await house.run(job, ports=ports(house, world))
    assert found(done, "reboot") == {"this machine wants a restart": "note"}
    await house.clock.advance(8 * DAY)
    assert found(await house.run(job, ports=ports(house, world)), "reboot") == {
        "this machine wants a restart": "warning"
    }


@needs_root
async def test_a_rehearsal_says_what_would_be_done(house: House, world: World) -> None:
    from mainstay.engine.foresight import Foresight

    world.apt("apt-get", "update")
    look = Foresight(house.clock, {UpkeepPorts: ports(house, world)}, {})
    told = await patches(apply="security").foresee(look)
    assert told == ["kept 1.0 -> 1.1: stays, it is on hold", "web 1.0 -> 1.1: would be installed"]
    assert (await patches().foresee(look))[1] == "web 1.0 -> 1.1: stays, apply is never"
    assert world.version("web") == "1.0"
