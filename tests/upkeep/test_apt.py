"""Missing security updates, found and installed by the real apt in a root of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from mainstay.core.errors import MainstayError
from mainstay.upkeep.patches import apt
from tests.helpers import aeventually
from tests.upkeep.apts import World

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Packages with and without updates; `web` has a configuration file that somebody changed."""
    world = World(tmp_path)
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    world.install(
        world.deb("web", "1.0", conffile="port 80\n"),
        *(world.deb(name, "1.0") for name in ("tool", "kept", "hidden", "clash", "victim")),
    )
    (world.root / "etc/web.conf").write_text("port 8080, ours\n")
    world.offer("stable", world.deb("tool", "2.0"), world.deb("hidden", "1.2"))
    world.offer(
        "stable-security",
        world.deb("web", "1.1", conffile="port 443\n"),
        world.deb("kept", "1.1"),
        world.deb("hidden", "1.1"),
        world.deb("clash", "1.1", Conflicts="victim"),
    )
    world.apt("apt-mark", "hold", "kept")
    return world


async def test_what_is_missing_is_found_with_what_is_on_hold(world: World) -> None:
    assert await apt.refresh() is None
    found = {each.name: each for each in await apt.pending()}
    assert {name for name, each in found.items() if each.security} == {"web", "kept", "hidden", "clash"}
    assert {name for name, each in found.items() if each.held} == {"kept"}
    assert found["tool"].security is False
    # The newest one is of the ordinary archive, but it holds the fix that is missing.
    assert (found["hidden"].installed, found["hidden"].candidate) == ("1.0", "1.2")
    assert await apt.has_security_archive()


async def test_what_may_be_installed_is_and_nothing_else(world: World) -> None:
    await apt.refresh()
    missing = [each for each in await apt.pending() if each.security and not each.held]
    chosen = await apt.possible(missing)
    assert {each.name for each in chosen} == {"web", "hidden"}
    await apt.apply(chosen)
    versions = {name: world.version(name) for name in ("web", "hidden", "kept", "tool", "clash", "victim")}
    assert versions == {
        "web": "1.1", "hidden": "1.2", "kept": "1.0", "tool": "1.0", "clash": "1.0", "victim": "1.0",
    }  # fmt: skip
    assert (world.root / "etc/web.conf").read_text() == "port 8080, ours\n"
    assert (world.root / "etc/web.conf.dpkg-dist").read_text() == "port 443\n"
    assert {each.name for each in await apt.pending() if each.security} == {"kept", "clash"}


async def test_an_interrupted_installation_is_finished_first(world: World) -> None:
    await apt.refresh()
    deb = world.deb("half", "1.0")
    world.apt("dpkg", "--unpack", str(deb))
    assert "half" in world.apt("dpkg", "--audit")
    await apt.apply([])
    assert world.apt("dpkg", "--audit") == ""


async def test_the_lock_of_dpkg_is_waited_for(world: World) -> None:
    await apt.refresh()
    chosen = [each for each in await apt.pending() if each.name == "web"]
    lock = os.open(world.root / "var/lib/dpkg/lock-frontend", os.O_RDWR | os.O_CREAT, 0o640)
    # Not flock: this is the kind that apt takes; and closing any descriptor of the file would let it go.
    fcntl.lockf(lock, fcntl.LOCK_EX)
    applying = asyncio.create_task(apt.apply(chosen))
    try:
        await aeventually(lambda: _waits(world), 30)
        assert not applying.done()
        assert world.version("web") == "1.0"
    finally:
        os.close(lock)
    await applying
    assert world.version("web") == "1.1"


def _waits(world: World) -> bool:
    """Whether an apt-get of this world sleeps until it may ask for the lock again."""
    for home in Path("/proc").iterdir():
        try:
            if str(world.conf).encode() in (home / "environ").read_bytes():
                asleep = (home / "stat").read_text().rpartition(")")[2].split()[0] == "S"
                return asleep and b"DPkg::Lock::Timeout" in (home / "cmdline").read_bytes()
        except OSError:
            continue
    return False


async def test_lists_that_cannot_be_fetched_are_said(world: World) -> None:
    await apt.refresh()
    shutil.rmtree(world.repository / "dists/stable-security")
    trouble = await apt.refresh()
    assert trouble
    assert trouble.startswith("the package lists could not be fetched: ")


async def test_lists_have_an_age_and_none_have_none(world: World) -> None:
    assert await apt.refreshed_at() is None
    assert not await apt.has_security_archive()
    await apt.refresh()
    at = await apt.refreshed_at()
    assert at is not None
    newest = max(path.stat().st_ctime for path in (world.root / "var/lib/apt/lists").glob("*Release"))
    assert at == newest


async def test_what_apt_complains_about_is_handed_on(world: World) -> None:
    await apt.refresh()
    wrong = apt.Update("web", "all", "1.0", "7.7", security=True)
    with pytest.raises(MainstayError, match=r"Version '7\.7' for 'web' was not found"):
        await apt.apply([wrong])


POLICY = """one:
  Installed: 1
  Candidate: 3
  Version table:
     3 500
        500 http://deb.example.org/debian stable-updates/main amd64 Packages
     2 500
        500 http://security.example.org stable-security/main amd64 Packages
 *** 1 100
        100 /var/lib/dpkg/status
two:
  Installed: 2
  Candidate: 3
  Version table:
     3 500
        500 http://deb.example.org/debian stable/main amd64 Packages
 *** 2 100
        100 /var/lib/dpkg/status
     1 500
        500 http://security.example.org stable-security/main amd64 Packages
"""


def test_only_fixes_that_are_newer_than_what_is_installed_count() -> None:
    assert apt.secure_names(POLICY) == {"one"}
