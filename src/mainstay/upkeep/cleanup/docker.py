"""Docker: images that nothing uses, containers that ended, the cache of builds."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import Field

from mainstay.core.plugin import Settings
from mainstay.core.units import Duration, Size
from mainstay.ports.services import ServiceError
from mainstay.ports.services.engine_api import ask
from mainstay.upkeep.cleanup.rules import Pattern, Patterns

ENDED = ("exited", "dead", "created")
WITHIN = 600.0
"""Seconds that Docker may take for one answer: it adds up every layer."""


class DockerRule(Settings):
    """What may go from the Docker daemon of this machine."""

    images: Duration | None = 7 * 86400.0
    """Images that no container and no service uses go when they were made or pulled so long ago; `null` keeps all."""
    keep_last: int = Field(default=2, ge=0)
    """Of each repository so many of the newest images stay: releases that one may have to go back to."""
    keep: list[Pattern] = []
    """Names of images that stay, as shell patterns."""
    containers: Duration | None = None
    """Containers that ended so long ago go; they may hold data, so they stay unless this is given."""
    build_cache: Duration | None = 7 * 86400.0
    """Parts of the build cache go that were not used for so long; `null` keeps all."""
    build_cache_keep: Size = 0
    """So much of the build cache stays in any case."""


@dataclass(slots=True)
class Freed:
    """What Docker gave up. `bytes` are its own figures from before and after, or its promise when nothing was done."""

    containers: int = 0
    images: int = 0
    bytes: int = 0
    examples: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Image:
    """An image: when it was made or pulled, what it is called."""

    id: str
    at: float
    names: tuple[str, ...]
    size: int

    @property
    def repositories(self) -> set[str]:
        return {name.rpartition(":")[0] or name for name in self.names}


async def clean(
    rule: DockerRule, now: float, over: Callable[[], bool], log: Callable[[str], None], *, act: bool
) -> Freed:
    """Clean Docker up. Raises `ServiceError` when it cannot be asked."""
    freed = Freed()
    before = await _occupied() if act else 0
    if rule.containers is not None:
        await _containers(rule.containers, now, over, freed, act=act)
    if rule.images is not None:
        await _images(rule, now, over, freed, act=act)
    if act:
        freed.bytes = max(0, before - await _occupied())
    if rule.build_cache is not None and not over():
        freed.bytes += await _cache(rule, now, freed, act=act)
    for line in freed.examples:
        log(line)
    return freed


async def _containers(age: float, now: float, over: Callable[[], bool], freed: Freed, *, act: bool) -> None:
    filters = json.dumps({"status": list(ENDED)})
    for each in await ask("GET", "/containers/json", {"all": "true", "filters": filters, "size": "true"}):
        if over():
            return
        state = (await ask("GET", f"/containers/{each['Id']}/json"))["State"]
        ended = max(float(each["Created"]), _stamp(state.get("FinishedAt", "")))
        if now - ended < age or state["Status"] not in ENDED:
            continue
        name = each["Names"][0].lstrip("/") if each["Names"] else each["Id"][:12]
        if await _tried(freed, f"the container {name}", lambda each=each: _remove_container(each), act=act):  # type: ignore[misc]
            freed.containers += 1
            freed.bytes += each.get("SizeRw", 0) if not act else 0


async def _remove_container(container: dict[str, Any]) -> None:
    await ask("DELETE", f"/containers/{container['Id']}", {"v": "false", "force": "false"})


async def _images(rule: DockerRule, now: float, over: Callable[[], bool], freed: Freed, *, act: bool) -> None:
    """Delete by name first: an image goes with its last name, and stays when it got another one meanwhile."""
    for image in await _unused(rule, now):
        if over():
            return
        what = f"the image {', '.join(image.names) or image.id[7:19]}"
        if await _tried(freed, what, lambda image=image: _remove_image(image), act=act):  # type: ignore[misc]
            freed.images += 1
            freed.bytes += image.size if not act else 0


async def _remove_image(image: Image) -> None:
    for name in image.names or (image.id,):
        await ask("DELETE", f"/images/{quote(name, safe='')}", {"force": "false"}, within=WITHIN)


async def _tried(freed: Freed, what: str, remove: Callable[[], Awaitable[None]], *, act: bool) -> bool:
    """Remove something that may be in use again by now: Docker refuses then, and it stays."""
    if act:
        try:
            await remove()
        except ServiceError as why:
            freed.examples.append(f"left {what}: {why.what}")
            return False
    freed.examples.append(f"delete {what}")
    return True


async def _unused(rule: DockerRule, now: float) -> list[Image]:
    used = {each["ImageID"] for each in await ask("GET", "/containers/json", {"all": "true"})}
    named = await _of_services()
    images = [await _image(each) for each in await ask("GET", "/images/json", {"all": "false"})]
    stay = Patterns(rule.keep) if rule.keep else None
    kept = _newest(images, rule.keep_last)
    assert rule.images is not None  # noqa: S101 - asked by the caller
    return [
        image
        for image in sorted(images, key=lambda image: (image.at, image.names))
        if image.id not in used | kept
        and not named.intersection(image.names)
        and not (stay and any(stay.cover(name) for name in image.names))
        and now - image.at >= rule.images
    ]


async def _image(row: dict[str, Any]) -> Image:
    """An image may have been built years ago and pulled a minute ago: the later one counts."""
    found = await ask("GET", f"/images/{row['Id']}/json")
    tagged = _stamp(found.get("Metadata", {}).get("LastTagTime") or "")
    names = tuple(name for name in row.get("RepoTags") or () if name != "<none>:<none>")
    return Image(row["Id"], max(float(row["Created"]), tagged), names, int(row["Size"]))


def _newest(images: list[Image], many: int) -> set[str]:
    kept: set[str] = set()
    for repository in {each for image in images for each in image.repositories}:
        mine = [image for image in images if repository in image.repositories]
        kept |= {image.id for image in sorted(mine, key=lambda image: image.at, reverse=True)[:many]}
    return kept


async def _of_services() -> set[str]:
    """Give the images that services of the swarm name, those that they would be rolled back to included."""
    if not (await ask("GET", "/info")).get("Swarm", {}).get("ControlAvailable"):
        return set()
    specs = [
        service[key]
        for service in await ask("GET", "/services")
        for key in ("Spec", "PreviousSpec")
        if service.get(key)
    ]
    images = [spec["TaskTemplate"].get("ContainerSpec", {}).get("Image", "") for spec in specs]
    return {image.partition("@")[0] for image in images}


async def _cache(rule: DockerRule, now: float, freed: Freed, *, act: bool) -> int:
    """Give the bytes that the build cache gave up, or would."""
    age = rule.build_cache or 0.0
    if not act:
        parts = (await ask("GET", "/system/df", {"type": "build-cache"}, within=WITHIN)).get(
            "BuildCache"
        ) or []
        old = [part for part in parts if not part.get("InUse") and now - _used(part) >= age]
        promised = sum(int(part["Size"]) for part in old)
        if old:
            freed.examples.append(f"delete {len(old)} parts of the build cache")
        return promised
    filters = json.dumps({"until": [f"{max(1, round(age))}s"]})
    options = {"all": "true", "keep-storage": str(rule.build_cache_keep), "filters": filters}
    told = await ask("POST", "/build/prune", options, within=WITHIN) or {}
    if gone := told.get("CachesDeleted"):
        freed.examples.append(f"delete {len(gone)} parts of the build cache")
    return int(told.get("SpaceReclaimed") or 0)


def _used(part: dict[str, Any]) -> float:
    return _stamp(part.get("LastUsedAt") or part.get("CreatedAt") or "")


async def _occupied() -> int:
    """Ask for the bytes of all layers and of what containers wrote."""
    told = await ask("GET", "/system/df", within=WITHIN)
    written = sum(int(each.get("SizeRw") or 0) for each in told.get("Containers") or [])
    return int(told.get("LayersSize") or 0) + written


def _stamp(text: str) -> float:
    """Read Docker's time; 0 for none, which it writes as the year 1."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return moment.timestamp() if moment.year >= 1970 else 0.0
