"""Containers and Swarm services, on a real Docker daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.core.service import Unit
from mainstay.ports.services import ServiceControl, ServiceError, ServiceState, Standing, control_for
from mainstay.ports.services.docker import DockerControl
from tests.helpers import aeventually
from tests.servers.docker import IMAGE, DockerServer

SLEEP = ("sleep", "600")
AT_ONCE = ("--network", "host", "--stop-signal", "KILL")
"""The first process of a container hears SIGTERM only if it listens, and `sleep` does not."""


@pytest.fixture(autouse=True)
def _daemon(dockerd: DockerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", dockerd.url)


def control(kind: str, name: str) -> ServiceControl:
    return control_for("api", Unit.model_validate({"kind": kind, "name": name}), Path(), Path())


async def reaches(control: ServiceControl, standing: Standing) -> ServiceState:
    async def there() -> ServiceState | None:
        state = await control.state()
        return state if state.state is standing else None

    state = await aeventually(there, 30)
    assert state is not None
    return state


async def test_a_container_that_runs_is_restarted(dockerd: DockerServer) -> None:
    container = control("docker", dockerd.run(*SLEEP, options=AT_ONCE))
    first = await container.state()
    assert (first.state, first.detail, first.held) == (Standing.RUNNING, "running", False)
    await container.restart()
    second = await container.state()
    assert second.pid not in (None, first.pid)
    assert second.since is not None
    assert first.since is not None
    assert second.since > first.since
    assert not await container.ensure_running()


async def test_a_container_reads_its_files_anew(dockerd: DockerServer) -> None:
    script = "trap 'echo read anew' HUP; echo ready; while true; do sleep 0.1; done"
    name = dockerd.run("sh", "-c", script, options=AT_ONCE)
    container = control("docker", name)
    assert isinstance(container, DockerControl)
    await aeventually(lambda: "ready" in dockerd.docker("logs", name), 30)
    await container.reload()
    await aeventually(lambda: "read anew" in dockerd.docker("logs", name), 30)
    dockerd.docker("kill", name)
    with pytest.raises(ServiceError, match="not running"):
        await container.reload()


async def test_a_container_that_was_killed_is_not_held_and_comes_back(dockerd: DockerServer) -> None:
    name = dockerd.run(*SLEEP, options=AT_ONCE)
    container = control("docker", name)
    dockerd.docker("kill", name)
    state = await reaches(container, Standing.STOPPED)
    assert (state.held, state.detail) == (False, "exited with 137")
    await container.restart()
    assert (await container.state()).state is Standing.RUNNING


async def test_a_container_that_ended_by_itself_is_not_held(dockerd: DockerServer) -> None:
    container = control("docker", dockerd.run("sh", "-c", "exit 3"))
    state = await reaches(container, Standing.STOPPED)
    assert (state.held, state.detail) == (False, "exited with 3")


async def test_a_container_that_somebody_stopped_is_held_until_it_runs_again(dockerd: DockerServer) -> None:
    name = dockerd.run(*SLEEP, options=AT_ONCE)
    container = control("docker", name)
    dockerd.docker("stop", "--time", "0", name)
    state = await container.state()
    assert (state.state, state.held, state.detail) == (Standing.STOPPED, True, "stopped on purpose")
    await container.start()
    dockerd.docker("kill", name)
    assert not (await reaches(container, Standing.STOPPED)).held
    await container.start()
    await container.stop()
    assert (await container.state()).held


async def test_a_paused_container_goes_on(dockerd: DockerServer) -> None:
    name = dockerd.run(*SLEEP, options=AT_ONCE)
    container = control("docker", name)
    dockerd.docker("pause", name)
    await container.start()
    assert dockerd.state(name) == "running"
    dockerd.docker("pause", name)
    await container.restart()
    assert dockerd.state(name) == "running"


async def test_a_container_that_is_not_there(dockerd: DockerServer) -> None:
    container = control("docker", "nobody")
    state = await container.state()
    assert (state.state, state.detail) == (Standing.MISSING, "there is no container nobody")
    with pytest.raises(ServiceError, match="No such container"):
        await container.restart()


async def test_a_swarm_service_has_its_tasks_made_anew(dockerd: DockerServer) -> None:
    dockerd.swarm()
    command = ["service", "create", "--detach", "--name", "web", "--network", "host", IMAGE, *SLEEP]
    dockerd.docker(*command)
    service = control("swarm", "web")
    state = await reaches(service, Standing.RUNNING)
    assert (state.detail, state.held) == ("1 of 1 tasks run", False)
    before = set(dockerd.docker("service", "ps", "-q", "--filter", "desired-state=running", "web").split())
    await service.restart()

    def anew() -> bool:
        now = set(dockerd.docker("service", "ps", "-q", "--filter", "desired-state=running", "web").split())
        return bool(now) and not now & before

    await aeventually(anew, 40)
    await reaches(service, Standing.RUNNING)
    await service.stop()
    state = await reaches(service, Standing.STOPPED)
    assert (state.held, state.detail) == (True, "scaled to no replicas")
    await service.start()
    assert (await reaches(service, Standing.RUNNING)).detail == "1 of 1 tasks run"
    missing = await control("swarm", "nobody").state()
    assert missing.state is Standing.MISSING


async def test_a_daemon_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    for kind in ("docker", "swarm"):
        state = await control(kind, "web").state()
        assert state.state is Standing.UNKNOWN
        assert "is Docker running?" in state.detail
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(ServiceError, match="DOCKER_HOST is no unix socket"):
        await control("docker", "web").restart()
