"""Images: which run, and what a scanner says of them. trivy is in no Debian, so a script stands in for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mainstay.upkeep.patches import images
from mainstay.upkeep.patches.weakness import Level
from tests.servers.docker import IMAGE, DockerServer

REPORT = {
    "SchemaVersion": 2,
    "Results": [
        {"Target": "shop:1 (debian 12.5)"},
        {
            "Target": "app",
            "Vulnerabilities": [
                {"VulnerabilityID": "CVE-1", "PkgName": "a", "FixedVersion": "2", "Severity": "HIGH"},
                {"VulnerabilityID": "CVE-2", "PkgName": "b", "FixedVersion": "3", "Severity": "CRITICAL"},
            ],
        },
    ],
}


def scanner(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a trivy on the path that does what a script says."""
    program = directory / "trivy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


async def test_images_without_a_scanner_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    [found] = await images.scan(["shop:1"])
    assert (found.level, found.detail) == (Level.UNKNOWN, "no scanner is installed")


def test_a_scan_is_summed_up_by_image() -> None:
    assert images.summed_up("shop:1", {"Results": [{"Target": "os"}]}) == []
    [found] = images.summed_up("shop:1", REPORT)
    assert found.detail.startswith(
        "2 holes that are mended elsewhere, 1 of them critical, such as CVE-2 in b"
    )


async def test_the_scanner_is_asked_for_what_can_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report").write_text(json.dumps(REPORT))
    scanner(tmp_path, f'echo "$@" >{tmp_path}/asked; cat {tmp_path}/report', monkeypatch)
    [found] = await images.scan(["shop:1"])
    assert (found.kind, found.level) == ("image", Level.WARNING)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[0] == "image"
    assert asked[-1] == "shop:1"
    assert {"--ignore-unfixed", "HIGH,CRITICAL", "json"} <= set(asked)


@pytest.mark.parametrize("script", ["echo 'no such image' >&2; exit 1", "echo no json"])
async def test_a_scan_that_fails_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    scanner(tmp_path, script, monkeypatch)
    [found] = await images.scan(["shop:1"])
    assert found.level is Level.UNKNOWN
    assert found.detail.startswith("trivy could not scan it: ")


async def test_images_that_run_are_known(dockerd: DockerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", dockerd.url)
    assert await images.running() == []
    dockerd.run("sleep", "60")
    assert await images.running() == [IMAGE]


async def test_no_docker_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert await images.running() is None
