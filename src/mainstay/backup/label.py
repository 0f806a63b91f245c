"""What everybody may read of an encrypted backup: its name and what lies there of it, so that bytes can be verified and
copied without an identity.
"""

import hashlib
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from mainstay.backup.manifest import (
    FORMAT,
    MANIFEST,
    ManifestError,
    SomeManifest,
    load,
    read_manifest,
    seal,
    unseal,
)
from mainstay.ports.objects.base import NotThere, Storage, Weight, chunked
from mainstay.ports.objects.seal import NoKey
from mainstay.store.backups import Backup

LABEL = "label.json"

Kept = dict[str, tuple[int, str]]
"""The bytes and the SHA-256 of each object as it lies there, by its name; empty where the manifest says the same."""


class Label(BaseModel):
    """An encrypted backup from outside. It names no table, no role and no address."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    id: str
    database: str
    taken_at: float
    mainstay: str
    recipients: list[str]
    """Whose identities open it."""
    objects: dict[str, tuple[int, str]]

    def seal(self) -> str:
        """Give the text that is kept."""
        return seal(self.model_dump(mode="json"))

    @classmethod
    def unseal(cls, text: str) -> Self:
        """Read what `seal` wrote. Raises `ManifestError`."""
        return cls.model_validate(unseal(text, cls))


async def publish(
    storage: Storage, place: str, manifest: SomeManifest, weights: Mapping[str, Weight]
) -> Kept:
    """Write the manifest, and thereby make a backup of what lies in a folder; before it the label, if it is encrypted.

    `weights` are those of the other objects as they lie there. Gives what is to be remembered. Raises `StorageError`.
    """
    data = manifest.seal().encode()
    if storage.encrypt is None:
        await storage.put(f"{place}/{MANIFEST}", chunked(data))
        return {}
    sealed = storage.encrypt.seal_bytes(data)
    kept = {name: (weight.bytes, weight.sha256) for name, weight in weights.items()}
    kept[MANIFEST] = len(sealed), hashlib.sha256(sealed).hexdigest()
    label = Label(
        id=manifest.id,
        database=manifest.database,
        taken_at=manifest.taken_at,
        mainstay=manifest.mainstay,
        recipients=storage.encrypt.recipients,
        objects=kept,
    )
    await storage.put_as_is(f"{place}/{LABEL}", chunked(label.seal().encode()), sealed=False)
    await storage.put_as_is(f"{place}/{MANIFEST}", chunked(sealed), sealed=True)
    return kept


async def labelled(storage: Storage, place: str) -> Label | None:
    """Read the label of the backup in a folder; None when it has none. Raises `StorageError`, `ManifestError`."""
    try:
        data = b"".join([chunk async for chunk in storage.get_as_is(f"{place}/{LABEL}")])
        return Label.unseal(data.decode())
    except NotThere:
        return None
    except UnicodeDecodeError:
        raise ManifestError("this is not a label: it was damaged or changed") from None


async def found(storage: Storage, place: str) -> tuple[SomeManifest, Kept] | None:
    """Give the manifest and the weights of a backup that is complete; None when it is not, or not readable here."""
    if storage.unreadable() is not None:
        return None
    try:
        manifest = await load(storage, place)
        label = await labelled(storage, place)
    except (NotThere, ManifestError, NoKey):
        return None
    return manifest, label.objects if label is not None and label.id == manifest.id else {}


async def own_manifest(storage: Storage, backup: Backup) -> SomeManifest:
    """Read the manifest of a backup that the journal knows. Raises `StorageError`, `NoKey`, `ManifestError`.

    All hashes are in it, so that one which is not the journal's would vouch for anything.
    """
    manifest = await load(storage, backup.path)
    # Not letter by letter: one of an older version lacks what was added since.
    if manifest != read_manifest(backup.manifest):
        raise ManifestError("the manifest is not the one that was written: somebody replaced it")
    return manifest


def weight_of(backup: Backup, path: str) -> Weight | None:
    """Give what an object of a backup weighed when it was stored; None where the manifest says it."""
    kept = backup.kept.get(path.rpartition("/")[2])
    return None if kept is None else Weight(*kept)
