"""The manifest: every character of it counts."""

from __future__ import annotations

import json
import random

import pytest

from mainstay.backup.manifest import Manifest, ManifestError, database_folder, folder
from tests.backup.house import House


async def test_every_changed_character_is_noticed(house: House) -> None:
    backup = await house.take()
    text = backup.manifest
    assert Manifest.unseal(text) == house.manifest(backup)
    chance = random.Random(5)
    for _ in range(300):
        spot = chance.randrange(len(text))
        letter = chance.choice('0123456789abcdef "{}')
        changed = text[:spot] + letter + text[spot + 1 :]
        if json_or_none(changed) == json_or_none(text):
            continue  # white space between the values
        with pytest.raises(ManifestError):
            Manifest.unseal(changed)
    for length in (0, 1, len(text) // 2, len(text) - 1):
        with pytest.raises(ManifestError):
            Manifest.unseal(text[:length])


def json_or_none(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"sha256": 1}', '{"sha256": "x", "format": "one"}'])
def test_what_is_no_manifest_is_told(text: str) -> None:
    with pytest.raises(ManifestError, match=r"not a manifest|does not match"):
        Manifest.unseal(text)


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(ManifestError, match="newer mainstay") as told:
        Manifest.unseal('{"sha256": "x", "format": 3}')
    assert "upgrade" in str(told.value)


def test_a_run_that_is_repeated_writes_to_the_same_place() -> None:
    assert folder("shop", 1_790_000_000.0, "01abc") == "shop/20260921T141320Z-01abc"


@pytest.mark.parametrize(
    ("name", "path"), [("a/b", "a%2Fb"), ("..", "%2E%2E"), (".", "%2E"), ("ü x", "%C3%BC%20x")]
)
def test_every_database_has_a_folder_of_its_own(name: str, path: str) -> None:
    assert database_folder(name) == path
