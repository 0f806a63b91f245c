"""What is known of a base backup: sealed, beside it in the storage, so that a restore needs no journal."""

import hashlib
import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mainstay.backup.manifest import ManifestError, Piece
from mainstay.backup.physical.layout import Segment, bases_folder, log_home, log_name
from mainstay.ports.objects.base import NotThere, Storage, chunked

FORMAT = 3
"""In the first two every part had a hash of what comes out of it; the first one knew no branches."""
NAME = "base.json"


class Base(BaseModel):
    """A base backup. Positions are in bytes, times in seconds since 1970; `taken_at` is when its last byte was read.

    A restore can begin at it from `stop` on. An incremental one needs `parent`, and what that needs.
    """

    model_config = ConfigDict(frozen=True)

    format: int = 1
    id: str
    database: str
    system: str
    """The server's identifier, which no two servers share."""
    name: str
    """What the database is called on its server."""
    path: str
    parent: str | None = None
    depth: int = 0
    """How many backups an incremental one needs before it."""
    version: str
    major: int
    superuser: str
    segment_size: int
    timeline: int
    start: int
    stop: int
    branch: int = 0
    """Which branch of the server's log it belongs to; another one than the first when the server was set back."""
    begun_at: float
    taken_at: float
    opened_at: float | None = None
    """When it was begun, by the server's own clock, which moments to restore are told by."""
    ready_at: float | None = None
    """And when the server was done: moments from then on can be restored."""
    seconds: float
    parts: list[Piece]
    manifest: Piece
    """PostgreSQL's own list of the files, for pg_verifybackup and for incremental backups."""
    settings: dict[str, str] = {}
    """What postgresql.conf said, for servers that keep it elsewhere."""
    program: str
    mainstay: str

    @property
    def bytes(self) -> int:
        """What it takes in the storage."""
        return self.manifest.bytes + sum(part.bytes for part in self.parts)

    @property
    def raw_bytes(self) -> int:
        """What it takes unpacked."""
        return sum(part.raw_bytes for part in self.parts)

    @property
    def log(self) -> str:
        """What the log is called that it needs."""
        return log_name(self.system, self.branch)

    @property
    def home(self) -> str:
        """The folder of the log that it needs."""
        return log_home(self.database, self.system, self.branch)

    @property
    def opened(self) -> float:
        """A moment before it was begun, by the server's clock; ours where an older mainstay did not ask for that."""
        return self.begun_at if self.opened_at is None else self.opened_at

    @property
    def ready(self) -> float:
        """The first moment that can be restored from it, likewise."""
        return self.taken_at if self.ready_at is None else self.ready_at

    @property
    def first(self) -> Segment:
        """The segment at which a restore begins to read the log."""
        return Segment.holding(self.timeline, self.start, self.segment_size)

    @property
    def last(self) -> Segment:
        """The segment without which nothing can be restored."""
        return Segment.holding(self.timeline, max(self.start, self.stop - 1), self.segment_size)

    def seal(self) -> str:
        """Give the text that is kept: JSON with its own SHA-256."""
        body = self.model_dump(mode="json")
        return json.dumps({"sha256": _hash(body), **body}, indent=1, ensure_ascii=False)

    @classmethod
    def unseal(cls, text: str) -> Self:
        """Read what `seal` wrote. Raises `ManifestError` when one character is different."""
        try:
            body: dict[str, Any] = json.loads(text)
            sha256 = body.pop("sha256")
            if int(body.get("format", 0)) > FORMAT:
                raise ManifestError(
                    "this base backup was written by a newer mainstay", hint="upgrade mainstay"
                )
            if sha256 != _hash(body):
                raise ManifestError("the record of a base backup does not match its own SHA-256")
            return cls.model_validate(body)
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
            raise ManifestError(
                "this is not the record of a base backup: it was damaged or changed"
            ) from None


def _hash(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


async def save(storage: Storage, base: Base) -> None:
    """Write it beside its backup; from then on there is one. Raises `StorageError`.

    It is never encrypted, for it has to be read where nothing else can be; there is nothing secret in it.
    """
    await storage.put_as_is(f"{base.path}/{NAME}", chunked(base.seal().encode()), sealed=False)


async def load(storage: Storage, path: str) -> Base:
    """Read the one in a folder. Raises `NotThere`, `StorageError`, `ManifestError`."""
    data = await storage.read(f"{path}/{NAME}")
    return Base.unseal(data.decode(errors="replace"))


async def bases_of(storage: Storage, database: str) -> tuple[list[Base], list[str]]:
    """Give every base backup of a database in a storage, the oldest first, and the folders that cannot be read.

    Raises `StorageError`.
    """
    found: list[Base] = []
    broken: list[str] = []
    ends = f"/{NAME}"
    for path in [
        entry.path async for entry in storage.list(bases_folder(database)) if entry.path.endswith(ends)
    ]:
        folder = path.removesuffix(ends)
        try:
            found.append(await load(storage, folder))
        except (ManifestError, NotThere):
            broken.append(folder)
    return sorted(found, key=lambda base: (base.taken_at, base.id)), broken


def lineage(base: Base, known: dict[str, Base]) -> list[Base]:
    """Give a base backup with all that it needs, the full one first. Raises `ManifestError` when one is missing."""
    chain = [base]
    while chain[0].parent is not None:
        parent = known.get(chain[0].parent)
        if parent is None:
            raise ManifestError(f"base backup {base.id} needs {chain[0].parent}, which is not there")
        chain.insert(0, parent)
    return chain
