"""Known holes in container images, as trivy finds them."""

import json
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.ports.services import ServiceError
from mainstay.ports.services import engine_api as docker
from mainstay.upkeep.patches.weakness import Level, Weakness, unknown
from mainstay.upkeep.program import ask, there

WITHIN = 900.0
"""Seconds for one image: the first one fetches a database of holes."""
SCANNER = "trivy"


async def running() -> list[str] | None:
    """Give the images of running containers; None when there is no Docker to ask."""
    try:
        found = await docker.ask("GET", "/containers/json")
    except ServiceError:
        return None
    return sorted({each["Image"] for each in found})


async def scan(names: list[str]) -> list[Weakness]:
    """Scan images; without a scanner each of them is unknown."""
    if not there(SCANNER):
        return [unknown(name, "no scanner is installed", f"install {SCANNER}") for name in names]
    return [weak for name in names for weak in await _scan(name)]


async def _scan(name: str) -> list[Weakness]:
    words = [
        "--quiet",
        "--format",
        "json",
        "--scanners",
        "vuln",
        "--severity",
        "HIGH,CRITICAL",
        "--ignore-unfixed",
    ]
    try:
        said = await ask(SCANNER, "image", *words, name, within=WITHIN)
        if said.code != 0:
            raise MainstayError(said.last)
        report = json.loads(said.out)
    except (MainstayError, ValueError) as fault:
        return [unknown(name, f"{SCANNER} could not scan it: {fault}")]
    return summed_up(name, report)


def summed_up(name: str, report: dict[str, Any]) -> list[Weakness]:
    """Make one weakness of an image's report: nobody mends an image hole by hole."""
    found = [hole for result in report.get("Results") or () for hole in result.get("Vulnerabilities") or ()]
    if not found:
        return []
    critical = sum(1 for hole in found if hole.get("Severity") == "CRITICAL")
    first = next((hole for hole in found if hole.get("Severity") == "CRITICAL"), found[0])
    detail = (
        f"{len(found)} holes that are mended elsewhere, {critical} of them critical, "
        f"such as {first['VulnerabilityID']} in {first['PkgName']}"
    )
    return [Weakness("image", name, detail, Level.WARNING, "build it anew, or pull a newer one")]
