"""The description of one backup: what it holds, in sizes, hashes, counts and versions. Written last, so that without
a manifest there is no backup.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from mainstay.backup.fingerprint import Counted, Method
from mainstay.backup.schema import Schema
from mainstay.core.errors import MainstayError
from mainstay.ports.objects.base import Storage, Stored
from mainstay.ports.objects.seal import Broken

if TYPE_CHECKING:
    from mainstay.backup.dump import Meter

FORMAT = 2
"""In the first one every object had a hash of what comes out of it, besides that of what lies there."""
DUMP = "dump.pgc.zst"
GLOBALS = "globals.sql.zst"
MANIFEST = "manifest.json"


class ManifestError(MainstayError):
    """What lies there is not a manifest, was changed, or is newer than this program."""


class Piece(BaseModel):
    """An object of a backup: what lies in the storage, and what comes out when it is unpacked."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int
    sha256: str
    raw_bytes: int
    raw_sha256: str = ""
    """Of what comes out, where it was noted. Now the SHA-256 of the object and the frame's own checksum are enough."""

    @classmethod
    def of(cls, path: str, stored: Stored, raw: "Meter") -> Self:
        """Give the piece at `path`: as it was stored, of what was measured before it was packed."""
        return cls(
            path=path,
            bytes=stored.bytes,
            sha256=stored.sha256,
            raw_bytes=raw.raw_bytes,
        )


class Server(BaseModel):
    """The server that was dumped. `version` is like `16.4`, `lsn` where its log stood."""

    model_config = ConfigDict(frozen=True)

    version: str
    major: int
    encoding: str
    collate: str
    ctype: str
    provider: str = "c"
    """Who knows the locale: `c` the system, `i` ICU, `b` the server itself."""
    locale: str = ""
    """The locale's name when it is not the system's."""
    standby: bool
    lsn: str
    bytes: int


class Setting(BaseModel):
    """What ALTER DATABASE ... SET said, for one role or, with an empty name, for all."""

    model_config = ConfigDict(frozen=True)

    role: str
    name: str
    value: str


class AnyManifest(BaseModel):
    """What every manifest says. Times are seconds since 1970; `taken_at` is the moment of which the contents are."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    id: str
    database: str
    storage: str
    """The storage that got the dump; other storages have copies of it."""
    name: str
    """What the database is called on its server; of other data, where it was."""
    taken_at: float
    seconds: float
    mainstay: str

    @property
    def objects(self) -> tuple[Piece, ...]:
        """What lies in the storage beside the manifest."""
        raise NotImplementedError

    @property
    def parts(self) -> int:
        """How many things it is made of, such as tables."""
        raise NotImplementedError

    @property
    def rows(self) -> int:
        """How many rows, entries or keys all parts have together."""
        raise NotImplementedError

    @property
    def contents(self) -> str:
        """Say in words how much it holds."""
        raise NotImplementedError

    @property
    def bytes(self) -> int:
        """What the backup takes in the storage, its manifest not counted."""
        return sum(piece.bytes for piece in self.objects)

    def seal(self) -> str:
        """Give the text that is kept: JSON with its own SHA-256."""
        return seal(self.model_dump(mode="json"))

    @classmethod
    def unseal(cls, text: str) -> Self:
        """Read what `seal` wrote. Raises `ManifestError` when one character is different."""
        return cls.model_validate(unseal(text, cls))


class Manifest(AnyManifest):
    """A backup of a database of PostgreSQL; `taken_at` is the moment of the snapshot."""

    server: Server
    pg_dump: str
    pg_dump_major: int
    dump: Piece
    globals: Piece
    tables: dict[str, Counted]
    method: Method = Method.TEXT
    """How the rows of `tables` were hashed."""
    skipped: dict[str, str]
    """Relations whose rows are not compared, and why."""
    large_objects: Counted
    sequences: dict[str, str]
    """Where each stood; those that moved while the dump was written are left out."""
    schema_: Schema
    settings: list[Setting] = []

    @property
    def objects(self) -> tuple[Piece, ...]:
        return self.dump, self.globals

    @property
    def parts(self) -> int:
        return len(self.tables)

    @property
    def rows(self) -> int:
        return sum(counted.rows for counted in self.tables.values())

    @property
    def contents(self) -> str:
        return f"{self.rows:,} rows in {len(self.tables)} tables"


class DataManifest(AnyManifest):
    """A backup of other data than a database of PostgreSQL."""

    kind: str
    """The type that took it and can restore it: `directory`, `sqlite`, ..."""
    program: str
    """What wrote it, with its version."""
    said: str
    """In words how much it holds."""
    pieces: dict[str, Piece]
    """What lies in the storage, by the last part of its path."""
    counted: dict[str, Counted]
    """What it holds, part by part: what is compared with a restored copy."""
    unproven: dict[str, str] = {}
    """What was left out or may not be as it was at one moment, and why; a proof says nothing of it."""
    facts: dict[str, str] = {}
    """What is good to know when it is restored."""
    besides: int = 0
    """Bytes that the backup added to the storage elsewhere than in its pieces."""

    @property
    def objects(self) -> tuple[Piece, ...]:
        return tuple(self.pieces.values())

    @property
    def parts(self) -> int:
        return len(self.counted)

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.counted.values())

    @property
    def bytes(self) -> int:
        return super().bytes + self.besides

    @property
    def contents(self) -> str:
        return self.said


SomeManifest = Manifest | DataManifest


def read_manifest(text: str) -> SomeManifest:
    """Read what `seal` wrote of either kind. Raises `ManifestError` when one character is different."""
    try:
        other = "kind" in json.loads(text)
    except (ValueError, TypeError):
        other = False
    return DataManifest.unseal(text) if other else Manifest.unseal(text)


def seal(body: dict[str, Any]) -> str:
    """Give JSON with its own SHA-256."""
    return json.dumps({"sha256": _hash(body), **body}, indent=1, ensure_ascii=False)


def unseal(text: str, kind: type[BaseModel]) -> dict[str, Any]:
    """Read what `seal` wrote of a model. Raises `ManifestError` when one character is different."""
    what = kind.__name__.lower().removeprefix("data")
    try:
        body: dict[str, Any] = json.loads(text)
        sha256 = body.pop("sha256")
        if int(body.get("format", 0)) > FORMAT:
            raise ManifestError(f"this {what} was written by a newer mainstay", hint="upgrade mainstay")
        if sha256 != _hash(body):
            raise ManifestError(f"the {what} does not match its own SHA-256: it was damaged or changed")
        kind.model_validate(body)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        raise ManifestError(f"this is not a {what}: it was damaged or changed") from None
    return body


def _hash(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def folder(database: str, due_at: float, run: str) -> str:
    """Give where a run's backup lies. A run that is repeated after a crash writes to the same place."""
    stamp = datetime.fromtimestamp(due_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{database_folder(database)}/{stamp}-{run}"


def database_folder(database: str) -> str:
    """Give where a database's backups lie."""
    safe = quote(database, safe="")
    return "%2E" * len(safe) if set(safe) == {"."} else safe


async def load(storage: Storage, place: str) -> SomeManifest:
    """Read the manifest of the backup in a folder. Raises `NotThere`, `StorageError`, `NoKey`, `ManifestError`."""
    try:
        data = await storage.read(f"{place}/{MANIFEST}")
        return read_manifest(data.decode())
    except Broken as fault:
        raise ManifestError(f"the manifest was damaged or changed: {fault}") from None
    except UnicodeDecodeError:
        raise ManifestError("this is not a manifest: it was damaged or changed") from None
