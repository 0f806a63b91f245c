"""A backup back into a real server. Nothing that is there is ever deleted: what stood in the way gets another name."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mainstay.backup.compare import Judgement, compare
from mainstay.backup.fetch import fetched
from mainstay.backup.label import own_manifest, weight_of
from mainstay.backup.load import create_database, load_archive, load_roles
from mainstay.backup.look import Narrator, look
from mainstay.backup.manifest import Manifest
from mainstay.backup.options import apply_settings
from mainstay.backup.ports import BackupPorts
from mainstay.backup.session import one, session, told
from mainstay.core.errors import MainstayError
from mainstay.core.units import format_size
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.ports.postgres.tls import forwarded
from mainstay.ports.postgres.tools import Toolset
from mainstay.ports.scratch import Workspace
from mainstay.store import backups
from mainstay.store.backups import Backup

ABOUT = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'),
       (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user)
"""
OBJECTS = """
WITH own AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
     member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
SELECT (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
        AND relnamespace IN (TABLE own)),
       (SELECT count(*) FROM pg_largeobject_metadata),
       (SELECT count(*) FROM pg_proc WHERE pronamespace IN (TABLE own)
        AND ('pg_proc'::regclass, oid) NOT IN (TABLE member)),
       (SELECT count(*) FROM pg_type WHERE typnamespace IN (TABLE own) AND typtype IN ('d', 'e', 'r')
        AND ('pg_type'::regclass, oid) NOT IN (TABLE member))
"""
THINGS = ("relations", "large objects", "functions", "types")
TEMPLATES = ("template0", "template1")
LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts the rest off in silence."""
ROLE = re.compile(r'^(?:CREATE ROLE|ALTER ROLE) ((?:"(?:[^"]|"")*"|[^\s;"])+)')
GRANT = re.compile(r'^GRANT .* TO ((?:"(?:[^"]|"")*"|[^\s;"])+)')


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do. `occupied` is how many things are in the target; `refused` says why it would not,
    `remedy` what to do about that.
    """

    backup: Backup
    manifest: Manifest
    target: str
    database: str
    server: str
    major: int
    exists: bool
    occupied: int
    lacks: tuple[str, ...]
    refused: str | None = None
    remedy: str | None = None

    def explain(self) -> list[str]:
        """Say it in lines."""
        what = "replace" if self.occupied else "fill" if self.exists else "create"
        lines = [
            f"restore {self.backup.id}: {self.manifest.rows:,} rows in {len(self.manifest.tables)} tables",
            f"{what} database {self.database} on {self.target} (PostgreSQL {self.server})",
        ]
        if self.occupied and not self.refused:
            lines.append(f"the present {self.database} stays, under another name")
        lines += [
            f"extension {name} is missing there: what needs it cannot be restored" for name in self.lacks
        ]
        remedy = f" (hint: {self.remedy})" if self.remedy else ""
        return [*lines, *([f"refused: {self.refused}{remedy}"] if self.refused else [])]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: where, whether it equals the backup, the name under which older data stays."""

    database: str
    judgement: Judgement
    kept_as: str | None = None


async def plan_restore(ports: BackupPorts, id: str, target: Dsn, *, replace: bool = False) -> RestorePlan:
    """Look at a backup and the server that it is to be restored on; change nothing. Raises `MainstayError`.

    `target` names the server and the database, which need not exist. One with anything in it is refused unless
    `replace` is set.
    """
    backup = await ports.store.read(lambda tx: backups.get(tx, id))
    if backup is None or backup.deleted_at is not None:
        raise MainstayError(f"there is no backup {id}", hint="mainstay backup list")
    manifest = await own_manifest(ports.storage(backup.storage), backup)
    if not isinstance(manifest, Manifest):
        raise MainstayError(
            f"{id} is a backup of a {manifest.kind}, which no database of PostgreSQL can take",
            hint="--into names a path, or the address of a server of its own kind",
        )
    name = target.params.get("dbname") or manifest.name
    async with session(target.with_(dbname="postgres")) as connection:
        major, version, may_create = await one(connection, ABOUT)
        rows = await (await connection.execute("SELECT datname::text FROM pg_database")).fetchall()
        available = await (
            await connection.execute("SELECT name::text FROM pg_available_extensions")
        ).fetchall()
    exists = (name,) in rows
    there = await _occupied(target.with_(dbname=name)) if exists else {}
    occupied = sum(there.values())
    refused = remedy = None
    if name in TEMPLATES or (occupied and name == "postgres"):
        refused, remedy = f"{name} belongs to the server itself", "name another database"
    elif occupied and not replace:
        refused = f"{name} is not empty: it has {_said(there)}"
        remedy = "name a new database, or say --replace"
    elif (occupied or not exists) and not may_create:
        user = target.params.get("user", "this user")
        refused, remedy = f"{user} may not create databases", f"ALTER ROLE {user} CREATEDB"
    elif major < manifest.server.major:
        refused = f"PostgreSQL {version} is older than the backup's {manifest.server.version}"
    return RestorePlan(
        backup, manifest, str(target.with_(dbname=name)), name, version, major, exists, occupied,
        tuple(sorted(manifest.schema_.extensions.keys() - {each for (each,) in available})), refused, remedy,
    )  # fmt: skip


async def _occupied(dsn: Dsn) -> dict[str, int]:
    async with session(dsn) as connection:
        counts = await one(connection, OBJECTS)
    return {thing: count for thing, count in zip(THINGS, counts, strict=True) if count}


def _said(there: dict[str, int]) -> str:
    return ", ".join(f"{count} {thing}" for thing, count in there.items())


def _beside(name: str, word: str) -> str:
    """Give a name for a database beside another, which fits whole."""
    return name.encode()[: LONGEST_NAME - len(word.encode())].decode(errors="ignore") + word


async def restore(
    told_to: Narrator, ports: BackupPorts, id: str, target: Dsn, *, replace: bool = False
) -> Restored:
    """Restore a backup and compare the result with it. Raises `MainstayError`.

    What is there already is only touched at the very end, when the restored copy has been compared: then the two
    change names. `Restored.judgement` says whether everything is equal.
    """
    plan = await plan_restore(ports, id, target, replace=replace)
    if plan.refused:
        raise MainstayError(f"nothing is restored: {plan.refused}", hint=plan.remedy)
    moment = datetime.fromtimestamp(ports.clock.now(), UTC).strftime("%Y%m%d_%H%M%S")
    # A name of its own until everything is there: whoever finds the database after a crash sees what it is.
    fills = plan.exists and not plan.occupied
    name = plan.database if fills else _beside(plan.database, f"_restoring_{moment}")
    with ports.scratch.workspace() as space:
        judgement = await _fill(told_to, ports, plan, target, name, space)
    if not plan.occupied:
        if not fills:
            await _rename(target, (name, plan.database))
        return Restored(plan.database, judgement)
    if judgement.differences or judgement.unproven:
        raise PostgresError(
            f"the restored copy {name} differs from the backup, so {plan.database} was left alone: "
            f"{judgement.summary()}",
            hint=f"look at it, then DROP DATABASE {name}",
        )
    kept = _beside(plan.database, f"_before_{moment}")
    await _rename(target, (plan.database, kept), (name, plan.database))
    told_to.log(f"{plan.database} is now the restored copy; what it was before is called {kept}")
    return Restored(plan.database, judgement, kept)


async def _fill(
    told_to: Narrator, ports: BackupPorts, plan: RestorePlan, target: Dsn, name: str, space: Workspace
) -> Judgement:
    manifest = plan.manifest
    storage = ports.storage(plan.backup.storage)
    kept = [weight_of(plan.backup, piece.path) for piece in (manifest.globals, manifest.dump)]
    roles = await fetched(storage, manifest.globals, space.path / "globals.sql", kept=kept[0])
    archive = await fetched(storage, manifest.dump, space.path / "dump.pgc", kept=kept[1])
    told_to.log(f"fetched {format_size(manifest.bytes)}, hashes match")
    server = Toolset(Path(), f"{plan.major}", "target")
    restorer = await asyncio.to_thread(ports.tools.restorer, manifest.pg_dump_major, server)
    psql = await asyncio.to_thread(ports.tools.psql)
    async with _near(target, psql, restorer, space) as near:
        await _missing_roles(told_to, near, psql, roles, space)
        if name != plan.database or not plan.exists:
            foreign = await create_database(target.with_(dbname="postgres"), name, manifest.server)
            if foreign:
                told_to.log(f"the server does not know the locale {foreign}: {name} has C")
        elif there := await _occupied(target.with_(dbname=name)):
            raise MainstayError(f"nothing is restored: {name} is no longer empty: it has {_said(there)}")
        done = 0

        def item() -> None:
            nonlocal done
            done += 1
            told_to.progress("restoring", done, len(manifest.tables), "tables")

        complaints = await load_archive(restorer, near.with_(dbname=name), archive, space.path, item)
    async with session(target.with_(dbname="postgres")) as connection:
        complaints += await apply_settings(connection, name, manifest.settings)
    for line in complaints:
        told_to.log(f"not restored: {line}")
    copy = await look(told_to, target.with_(dbname=name), manifest, plan.major, complaints)
    judgement = compare(manifest, copy)
    told_to.log(judgement.summary())
    return judgement


@asynccontextmanager
async def _near(target: Dsn, psql: Toolset, restorer: Toolset, space: Workspace) -> AsyncIterator[Dsn]:
    """The address for PostgreSQL's programs, which may know no TLS."""
    async with session(target.with_(dbname="postgres")) as connection:
        info, encrypted = connection.info, connection.pgconn.ssl_in_use
        host, port = info.host or info.hostaddr, info.port
    speaks = await asyncio.to_thread(lambda: psql.speaks_tls() and restorer.speaks_tls())
    if encrypted and not speaks:
        async with forwarded(target, host, port, space) as near:
            yield near
    else:
        yield target


async def _missing_roles(told_to: Narrator, near: Dsn, psql: Toolset, file: Path, space: Workspace) -> None:
    """Create the roles that the server lacks; those that are there keep their passwords and rights."""
    async with session(near.with_(dbname="postgres")) as connection:
        rows = await (await connection.execute("SELECT rolname::text FROM pg_roles")).fetchall()
    some = await asyncio.to_thread(_only_new, file, {name for (name,) in rows})
    for complaint in await load_roles(psql, near.with_(dbname="postgres"), some, space.path):
        told_to.log(f"psql: {complaint}")


def _only_new(file: Path, known: set[str]) -> Path:
    some = file.with_name("roles.sql")
    some.write_text("\n".join([*new_roles(file.read_text().splitlines(), known), ""]))
    return some


def new_roles(lines: Iterable[str], known: set[str]) -> list[str]:
    """Of the statements of pg_dumpall, give those about roles that are not known."""
    found = []
    for line in lines:
        role = ROLE.match(line) or GRANT.match(line)
        if role is not None and _plain(role[1]) not in known:
            found.append(line)
    return found


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


async def _rename(target: Dsn, *names: tuple[str, str]) -> None:
    """Rename databases, all or none, from the first of a pair to the second."""
    from psycopg import sql

    async with session(target.with_(dbname="postgres")) as connection:
        with told(target):
            async with connection.transaction():
                for database, _ in names:
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                        [database],
                    )
                for old, new in names:
                    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
                    await connection.execute(rename.format(sql.Identifier(old), sql.Identifier(new)))
