"""Containers of the user's own, on a real daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mainstay.core.run import RunState
from mainstay.core.secret import MASK, Secret
from mainstay.ports.clock import FakeClock
from mainstay.store.base import Store
from mainstay.upkeep.own.container import ContainerJob
from tests.helpers import aeventually
from tests.servers.docker import DockerServer
from tests.upkeep.house import House, job_of


@pytest.fixture
def house(
    store: Store, clock: FakeClock, tmp_path: Path, dockerd: DockerServer, monkeypatch: pytest.MonkeyPatch
) -> House:
    monkeypatch.setenv("DOCKER_HOST", dockerd.url)
    return House(store, clock, tmp_path)


def container(script: str, **options: object) -> ContainerJob:
    given = {"image": DockerServer.image, "network": "none", "retries": 0, **options}
    made: ContainerJob = job_of(ContainerJob, command=["sh", "-c", script], **given)
    return made


def names(engine: DockerServer) -> str:
    return engine.docker("ps", "--all", "--format", "{{.Names}}")


async def test_a_container_runs_to_its_end_and_is_gone(
    house: House, dockerd: DockerServer, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("what is mounted\n")
    job = container(
        'echo "$TOKEN $MAINSTAY_JOB"; echo err >&2; cat /data/in; echo "$HOME_OF_MAINSTAY."',
        env={"TOKEN": Secret("token", "s3cr3t-in-a-box")},
        volumes=[f"{tmp_path}:/data:ro"],
    )
    run = await house.run(job)
    assert run.state is RunState.DONE
    assert sorted(await house.lines(run)) == sorted([f"{MASK} job", "err", "what is mounted", "."])
    failed = await house.run(container("echo no paper; exit 4"))
    assert failed.error == f"{DockerServer.image} ended with exit code 4: no paper"
    assert names(dockerd) == ""


async def test_a_missing_image_is_said_with_its_remedy_and_not_tried_again(house: House) -> None:
    run = await house.run(container("true", image="mainstay-none/none:1", retries=2))
    assert run.attempt == 1
    assert run.error is not None
    assert "docker pull mainstay-none/none:1" in run.error


async def test_a_container_that_takes_too_long_is_stopped_and_removed(
    house: House, dockerd: DockerServer
) -> None:
    job = container('trap "exit 0" TERM; sleep 1000 & wait', timeout=30.0)
    running = asyncio.ensure_future(house.run(job))
    await aeventually(lambda: "mainstay-job-" in names(dockerd))
    await house.clock.advance(31)
    run = await running
    assert run.error == "took longer than 30s and was stopped"
    await aeventually(lambda: names(dockerd) == "")
