"""Restoring a backup for trial: into a database of a throwaway server, to be compared and thrown away."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mainstay.backup.compare import Judgement, compare
from mainstay.backup.fetch import fetch, fetched
from mainstay.backup.label import weight_of
from mainstay.backup.load import create_database, load_archive, load_roles
from mainstay.backup.look import Narrator, look
from mainstay.backup.manifest import Manifest, Piece
from mainstay.backup.together import together
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.units import format_size
from mainstay.ports.objects.base import Storage, Weight
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.ports.postgres.sandbox import Sandbox
from mainstay.ports.postgres.tools import Tools, Toolset
from mainstay.store.backups import Backup

# pg_restore names these as errors of a statement, but they are faults of this machine and say nothing of the backup.
OUR_FAULT = re.compile(
    "No space left on device|Disk quota exceeded|server closed the connection|terminating connection|out of memory|"
    "could not connect|connection to server|Read-only file system"
)
ROOM = 1.3
"""How much room a restored copy may need, as a multiple of the size of the original."""
OF_EVERY_SERVER = ("postgres", "template0", "template1")


TABLESPACE = re.compile("(?:CREATE|ALTER) TABLESPACE |(?:GRANT|REVOKE) .* ON TABLESPACE ")


def _without_tablespaces(roles: Path) -> Path:
    """A tablespace is a directory of its server; on that same machine the trial would write into it."""
    some = roles.with_name("roles.sql")
    lines = roles.read_text().splitlines()
    some.write_text("\n".join([*(line for line in lines if not TABLESPACE.match(line)), ""]))
    return some


@dataclass(frozen=True, slots=True)
class Kit:
    """The programs for a trial: whose server, whose pg_restore, whose psql."""

    server: Toolset
    restore: Toolset
    psql: Toolset

    @classmethod
    def choose(cls, tools: Tools, manifest: Manifest) -> "Kit":
        """Find what can restore a backup best. Raises `ToolsError`."""
        oldest = max(manifest.server.major, manifest.pg_dump_major)
        server = tools.server(oldest, manifest.schema_.extensions.keys())
        return cls(server, tools.restorer(manifest.pg_dump_major, server), tools.psql())


@dataclass(frozen=True)
class Trial:
    """One backup and where it is tried: the server, the folder for what is fetched, who is told."""

    backup: Backup
    manifest: Manifest
    storage: Storage
    kit: Kit
    folder: Path
    told_to: Narrator

    async def fetch(self) -> tuple[Path, Path | None]:
        """Fetch the roles and the archive; no archive when there is no room for it beside the restored copy.

        Raises `Damaged`, and `MainstayError` when there is no room even for the copy.
        """
        roles = await fetched(
            self.storage,
            self.manifest.globals,
            self.folder / "globals.sql",
            kept=self._kept(self.manifest.globals),
        )
        if not self._room():
            return roles, None
        size = self.manifest.dump.bytes

        def got(done: int) -> None:
            self.told_to.progress("fetching", done, size, "bytes")

        dump = self.manifest.dump
        return roles, await fetched(self.storage, dump, self.folder / "dump.pgc", got, self._kept(dump))

    def _kept(self, piece: Piece) -> Weight | None:
        return weight_of(self.backup, piece.path)

    def _room(self) -> bool:
        disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        needed = int(ROOM * self.manifest.server.bytes)
        if free < needed:
            raise MainstayError(
                f"no room to prove {self.manifest.database}: {format_size(needed)} are needed, "
                f"{self.folder} has {format_size(free)}",
                hint="free some space, or put state_dir on a larger disk",
            )
        return free >= needed + self.manifest.dump.raw_bytes

    async def restore(self, server: Sandbox, roles: Path, archive: Path | None) -> tuple[Dsn, list[str]]:
        """Restore into a database of the original's name; give its address and the errors of pg_restore.

        A file is restored on several connections; without one the archive is streamed, on one connection.
        """
        await load_roles(self.kit.psql, server.dsn(), _without_tablespaces(roles), self.folder)
        name = "proof" if self.manifest.name in OF_EVERY_SERVER else self.manifest.name
        foreign = await create_database(server.dsn(), name, self.manifest.server)
        if foreign:
            self.told_to.log(f"this machine does not know the locale {foreign}: restoring with C")
        dsn = server.dsn(name)
        complaints = await (self._load(dsn, archive) if archive else self._stream(dsn))
        for line in complaints:
            self.told_to.log(f"pg_restore: {line}")
            if OUR_FAULT.search(line):
                raise PostgresError(
                    f"the proof could not be finished: {line}", hint="look at the disk and the memory"
                )
        point("prove.restored")
        return dsn, complaints

    async def _load(self, dsn: Dsn, archive: Path | int) -> list[str]:
        done = 0

        def item() -> None:
            nonlocal done
            done += 1
            self.told_to.progress("restoring", done, len(self.manifest.tables), "tables")

        return await load_archive(self.kit.restore, dsn, archive, self.folder, item)

    async def _stream(self, dsn: Dsn) -> list[str]:
        source, sink = os.pipe()

        async def feed() -> None:
            try:
                await fetch(self.storage, self.manifest.dump, sink, kept=self._kept(self.manifest.dump))
            except BrokenPipeError:
                pass  # pg_restore gave up, and says why
            finally:
                os.close(sink)

        complaints, _ = await together(self._load(dsn, source), feed())
        return complaints  # type: ignore[no-any-return]

    async def judge(self, dsn: Dsn, complaints: list[str]) -> Judgement:
        """Compare the restored copy with the manifest."""
        copy = await look(self.told_to, dsn, self.manifest, self.kit.server.major, complaints)
        return compare(self.manifest, copy)
