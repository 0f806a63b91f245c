"""Docker's leftovers, on a real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mainstay.ports.clock import SystemClock
from mainstay.ports.services import ServiceError
from mainstay.upkeep.cleanup.docker import DockerRule, Freed, clean
from tests.servers.docker import DockerServer

DAY = 86400.0


@pytest.fixture
def engine(dockerd: DockerServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerServer]:
    """The daemon, as mainstay finds it; images of the test are gone afterwards."""
    monkeypatch.setenv("DOCKER_HOST", dockerd.url)
    yield dockerd
    dockerd.sweep()
    for image in dockerd.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if image.startswith("mainstay-clean"):
            dockerd.docker("rmi", "--force", image)


async def tidy(*, act: bool = True, ahead: float = 30 * DAY, **options: Any) -> tuple[Freed, list[str]]:
    lines: list[str] = []
    rule = DockerRule.model_validate({"images": None, "build_cache": None, **options})
    freed = await clean(rule, SystemClock().now() + ahead, lambda: False, lines.append, act=act)
    return freed, lines


def images(engine: DockerServer) -> set[str]:
    names = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    return {name for name in names if name.startswith("mainstay-clean")}


async def test_old_releases_go_but_not_the_newest_and_not_what_runs(engine: DockerServer) -> None:
    for number in range(5):
        engine.make_image(f"mainstay-clean/app:{number}", data=f"{number}" * 200_000)
    engine.make_image("mainstay-clean/kept:1", data="k")
    engine.docker("create", "--name", "uses-one", "mainstay-clean/app:1", "sleep", "9")
    rule: dict[str, Any] = {
        "images": "7d",
        "keep_last": 2,
        "keep": ["mainstay-clean/kept:*", "mainstay-test*", "busybox*"],
    }
    assert (await tidy(ahead=DAY, **rule))[0].images == 0
    would, told = await tidy(act=False, **rule)
    assert len(images(engine)) == 6
    freed, lines = await tidy(**rule)
    assert images(engine) == {f"mainstay-clean/{name}" for name in ("app:1", "app:3", "app:4", "kept:1")}
    assert would.images == freed.images == 2
    assert told == lines == ["delete the image mainstay-clean/app:0", "delete the image mainstay-clean/app:2"]
    # What came free is what Docker says that it has less: two images with a shell and 200 kB each.
    assert freed.bytes > 400_000


async def test_containers_that_ended_go_when_asked_for(engine: DockerServer) -> None:
    running = engine.run("sleep", "60")
    ended = engine.run("true")
    engine.docker("wait", ended)
    assert (await tidy())[0].containers == 0
    assert (await tidy(containers="7d", ahead=DAY))[0].containers == 0
    freed, lines = await tidy(containers="7d")
    assert (freed.containers, lines) == (1, [f"delete the container {ended}"])
    assert engine.docker("ps", "-a", "--format", "{{.Names}}").split() == [running]


async def test_the_build_cache_is_asked_to_shrink(engine: DockerServer) -> None:
    for act in (False, True):
        freed, _ = await tidy(build_cache="1d", act=act)
        assert freed.bytes == 0  # nothing was built on this daemon: what matters is that it understood


async def test_the_images_that_a_service_would_be_rolled_back_to_stay(engine: DockerServer) -> None:
    for number in range(3):
        engine.make_image(f"mainstay-clean/svc:{number}", data=f"{number}")
    engine.swarm()
    service = ["--name", "svc", "--replicas", "0", "--no-resolve-image", "mainstay-clean/svc:0", "sleep", "9"]
    engine.docker("service", "create", "--detach", *service)
    update = ["--detach", "--no-resolve-image", "--image", "mainstay-clean/svc:1", "svc"]
    engine.docker("service", "update", *update)
    await tidy(images="7d", keep_last=0, keep=["example/*"])
    assert images(engine) == {"mainstay-clean/svc:0", "mainstay-clean/svc:1"}


async def test_a_daemon_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(ServiceError, match="cannot reach the Docker daemon"):
        await tidy(images="7d")
