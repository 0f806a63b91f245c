"""What every type of other data is given and gives: it takes itself, and is restored and compared like a database."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mainstay.backup.fetch import fetch, fetched
from mainstay.backup.fingerprint import Counted
from mainstay.backup.label import weight_of
from mainstay.backup.manifest import DataManifest, Piece
from mainstay.backup.paced import paced
from mainstay.backup.settings import BackupRules
from mainstay.core.errors import MainstayError
from mainstay.core.job import RunContext
from mainstay.core.plugin import Plugin
from mainstay.ports.clock import Clock
from mainstay.ports.objects.base import Storage, Weight
from mainstay.ports.scratch import Workspace
from mainstay.store.backups import Backup

if TYPE_CHECKING:
    from mainstay.backup.compare import Judgement
    from mainstay.backup.dump import Meter
    from mainstay.backup.look import Narrator
    from mainstay.backup.ports import BackupPorts


class DataError(MainstayError):
    """The data could not be read, or the copy not be written. Nothing was stored, nothing that was there is changed."""


class Unprovable(MainstayError):
    """This machine cannot restore such a backup, for want of a program or of memory: that says nothing about it."""


@dataclass(frozen=True)
class Taking:
    """One backup on its way: who is told, where to, with which rules; `folder` is empty and gone afterwards."""

    run: RunContext
    clock: Clock
    storage: Storage
    place: str
    rules: BackupRules
    folder: Path
    name: str
    """What is backed up, by its name below `data:`."""
    cache: Path
    """A directory for what makes the next backup faster and may be deleted at any time."""
    pieces: dict[str, Piece] = field(default_factory=dict)
    weights: dict[str, Weight] = field(default_factory=dict)

    async def put(self, name: str, stream: AsyncIterator[bytes], meter: "Meter", expected: int = 0) -> Piece:
        """Store a packed stream as a piece of the backup. `expected` is about how many bytes come, if known."""
        path = f"{self.place}/{name}"
        async with aclosing(paced(stream, self.rules.limit, self.clock)) as chunks:  # type: ignore[type-var]
            stored = await self.storage.put(path, chunks, expected)
        piece = Piece.of(path, stored, meter)
        self.pieces[name], self.weights[name] = piece, stored.kept
        return piece


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken. `at` is the moment of which it is, in seconds since 1970; the rest is as in `DataManifest`."""

    at: float
    program: str
    said: str
    counted: dict[str, Counted]
    unproven: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    besides: int = 0


@dataclass(frozen=True)
class Trial:
    """One backup that is restored: for trial, or in earnest. What lies in `space` is gone afterwards."""

    backup: Backup
    manifest: DataManifest
    storage: Storage
    space: Workspace
    told_to: "Narrator"
    clock: Clock
    lap: Callable[[str], None] = lambda name: None
    dataset: "Dataset | None" = None
    """What stands in the file under the backup's name, if anything does."""

    @property
    def folder(self) -> Path:
        """A directory that was empty."""
        return self.space.path

    async def file(self, name: str) -> Path:
        """Fetch a piece into a file. Raises `Damaged`, `StorageError`."""
        piece = self._piece(name)

        def got(done: int) -> None:
            self.told_to.progress("fetching", done, piece.bytes, "bytes")

        to = self.folder / name.removesuffix(".zst")
        return await fetched(self.storage, piece, to, got, weight_of(self.backup, piece.path))

    async def into(self, name: str, sink: int) -> None:
        """Unpack a piece into an open file or pipe. Raises `Damaged`, `StorageError`."""
        piece = self._piece(name)

        def got(done: int) -> None:
            self.told_to.progress("restoring", done, piece.bytes, "bytes")

        await fetch(self.storage, piece, sink, got, weight_of(self.backup, piece.path))

    async def feed(self, name: str, sink: int) -> None:
        """Unpack a piece into a pipe whose reader says himself why he gives up. Raises `Damaged`, `StorageError`."""
        try:
            with suppress(BrokenPipeError):
                await self.into(name, sink)
        finally:
            os.close(sink)

    def _piece(self, name: str) -> Piece:
        try:
            return self.manifest.pieces[name]
        except KeyError:
            raise DataError(f"the manifest of {self.backup.id} names no {name}") from None


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a copy would go, and what is there; `refused` says why it would not, `remedy` what to do about that."""

    where: str
    lines: tuple[str, ...] = ()
    refused: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """Where the copy is, whether it equals the backup, what is now called otherwise, what is to be done with it."""

    where: str
    judgement: "Judgement"
    kept_as: str | None = None
    next: str | None = None


class Dataset(Plugin, kind="dataset"):
    """Data that is no database of PostgreSQL, backed up by the same job.

    A type implements `target`, `take`, `tried`, `landing` and `land`, and `examine` for `mainstay doctor`.
    """

    one_storage: ClassVar[bool] = False
    """Whether its backups cannot be copied from one storage to another."""
    counts: ClassVar[str] = "rows"
    """What is counted in it, in the plural."""

    backup: BackupRules
    """When it is backed up, where to, how long that is kept and how it is proven."""

    def target(self) -> str:
        """Say in a few words where it is, without secrets."""
        raise NotImplementedError

    async def examine(self) -> str:
        """Look whether it can be read; say what is there. Raises `MainstayError`."""
        raise NotImplementedError

    async def take(self, taking: Taking) -> Taken:
        """Store its pieces and say what is in them. Raises `MainstayError`; then nothing counts as stored."""
        raise NotImplementedError

    async def tidy(self, run: RunContext, ports: "BackupPorts", name: str, storage: str) -> None:
        """Called after old backups were deleted from a storage: delete what of them lies elsewhere in it."""

    async def sound(self, name: str, storage: Storage, cache: Path) -> list[str]:
        """Say what is damaged of what lies elsewhere in a storage than in the pieces. Raises `MainstayError`."""
        return []

    async def lacks(self, name: str, storage: Storage, manifest: DataManifest) -> list[str]:
        """Say what of one backup is no longer there beside its pieces. Raises `MainstayError`."""
        return []

    @classmethod
    async def tried(cls, trial: Trial) -> "Judgement":
        """Restore a backup where it harms nobody and compare it. Raises `MainstayError`, `Damaged` when it is."""
        raise NotImplementedError

    @classmethod
    async def landing(cls, manifest: DataManifest, into: str, *, replace: bool) -> Landing:
        """Look where a copy would go; change nothing. Raises `MainstayError`."""
        raise NotImplementedError

    @classmethod
    async def land(cls, trial: Trial, into: str, *, replace: bool) -> Landed:
        """Restore a backup in earnest and compare it. What is there is kept under another name, or refused."""
        raise NotImplementedError


def dataset_type(kind: str) -> type[Dataset]:
    """Give the type that took a backup. Raises `DataError` when this mainstay has none of that name."""
    found: Any = Dataset.registry.get(kind)
    if found is None:
        raise DataError(
            f"nothing here can restore a backup of type {kind}", hint="is a plug-in missing that was there?"
        )
    return found  # type: ignore[no-any-return]
