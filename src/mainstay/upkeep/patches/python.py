"""Known holes in Python environments: what is installed, asked at OSV (https://osv.dev)."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.upkeep.patches.weakness import Level, Weakness

WITHIN = 60.0
"""Seconds for one answer."""
AT_ONCE = 500
"""Packages in one question; OSV takes a thousand."""
MOST = 300
"""Holes whose details are asked for; further ones are told by number."""

Package = tuple[str, str]
"""Name and version."""


def installed(environment: Path) -> dict[str, str]:
    """Give the packages of an environment, name to version. Raises `MainstayError` when it is none."""
    places = [*environment.glob("lib/python3*/site-packages"), *environment.glob("lib/python3/dist-packages")]
    if not places:
        raise MainstayError(
            f"{environment} is no Python environment", hint="name the directory that holds bin/python"
        )
    found = distributions(path=[str(place) for place in places])
    return {_plain(each.metadata["Name"]): each.version for each in found if each.metadata["Name"]}


def version_of(environment: Path) -> str | None:
    """Give the environment's version of Python, like `3.11`."""
    names = [place.parent.name for place in environment.glob("lib/python3*/site-packages")]
    found = [name.removeprefix("python") for name in names if re.fullmatch(r"python3\.\d+", name)]
    return found[0] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


async def holes(url: str, where: str, packages: Mapping[str, str]) -> list[Weakness]:
    """Ask for the known holes of packages. Raises `MainstayError` when there is no answer, or half of one."""
    import aiohttp

    limit = aiohttp.ClientTimeout(total=WITHIN)
    try:
        async with aiohttp.ClientSession(timeout=limit, trust_env=True) as session:
            known = await _identifiers(session, url, list(packages.items()))
            details = await _details(
                session, url, sorted({each for ids in known.values() for each in ids})[:MOST]
            )
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
        reason = str(fault) or type(fault).__name__
        raise MainstayError(f"{url} did not answer: {reason}") from None
    return [
        weak
        for (name, version), ids in known.items()
        for weak in _weak(where, name, version, [details[each] for each in ids if each in details])
    ]


async def _identifiers(session: Any, url: str, packages: list[Package]) -> dict[Package, list[str]]:
    known: dict[Package, list[str]] = {}
    for start in range(0, len(packages), AT_ONCE):
        part = packages[start : start + AT_ONCE]
        queries = [
            {"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in part
        ]
        async with session.post(f"{url}/v1/querybatch", json={"queries": queries}) as answer:
            answer.raise_for_status()
            results = (await answer.json())["results"]
        if len(results) != len(part):
            raise ValueError("it answered for other packages than it was asked about")
        for package, result in zip(part, results, strict=True):
            if ids := [each["id"] for each in result.get("vulns") or ()]:
                known[package] = ids
    return known


async def _details(session: Any, url: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    gate = asyncio.Semaphore(8)

    async def one(identifier: str) -> tuple[str, dict[str, Any]]:
        async with gate, session.get(f"{url}/v1/vulns/{identifier}") as answer:
            answer.raise_for_status()
            return identifier, await answer.json()

    return dict(await asyncio.gather(*(one(each) for each in ids)))


def _weak(where: str, name: str, version: str, found: list[dict[str, Any]]) -> list[Weakness]:
    """One weakness for each hole; several records of one hole, by their aliases, are one."""
    told: set[str] = set()
    result = []
    for record in found:
        names = {record["id"], *record.get("aliases", ())}
        if record.get("withdrawn") or told & names:
            told |= names
            continue
        told |= names
        fixed = _fixed(record, name)
        cve = next((each for each in sorted(names) if each.startswith("CVE-")), record["id"])
        detail = str(record.get("summary") or "a known hole")
        fix = f"install {name} {fixed}" if fixed else ""
        result.append(Weakness("python", f"{name} {version} in {where}, {cve}", detail, Level.WARNING, fix))
    return result


def _fixed(record: Mapping[str, Any], name: str) -> str:
    """Give a version in which the hole is closed; the last one that the record names."""
    events = [
        event
        for affected in record.get("affected", ())
        if _plain(affected.get("package", {}).get("name", "")) == name
        for each in affected.get("ranges", ())
        if each.get("type") == "ECOSYSTEM"
        for event in each.get("events", ())
    ]
    fixed = [event["fixed"] for event in events if "fixed" in event]
    return fixed[-1] if fixed else ""
