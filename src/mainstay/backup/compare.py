"""Is the restored copy what was backed up? A pure question with three answers."""

from collections.abc import Collection
from dataclasses import dataclass, field

from mainstay.backup.fingerprint import Counted
from mainstay.backup.manifest import Manifest
from mainstay.backup.schema import Schema
from mainstay.backup.tables import Table
from mainstay.store.backups import BackupState

LOCALE = "locale "
# What may honestly differ when the copy runs on another major version.
WITHIN_MAJOR = frozenset({"constraint", "function", "grant", "index"})


AS_STORED = "as it was stored"
"""What is expected of an object as a whole; what was found says the rest."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was: what, how it was in the backup, how it is in the copy."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        if self.expected == AS_STORED:
            return self.found
        return f"{self.what}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Copy:
    """The restored copy: its contents, its server's major version, what that server lacks, what pg_restore reported."""

    major: int
    tables: dict[str, Counted]
    large_objects: Counted
    sequences: dict[str, str]
    schema: Schema
    roles: frozenset[str]
    listed: tuple[Table, ...] = ()
    lacks: frozenset[str] = frozenset()
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, what differs, and for a partial one what could not be proven and why."""

    verdict: BackupState
    differences: tuple[Difference, ...] = ()
    unproven: dict[str, str] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    tables: int = 0
    rows: int = 0
    contents: str = ""
    """In words what is equal, where it is not tables with rows."""

    def summary(self) -> str:
        """Say it in a sentence."""
        proven = f"{self.contents or f'{self.tables} tables, {self.rows:,} rows'} equal"
        if self.verdict is BackupState.FAILED:
            more = f" (and {len(self.differences) - 3} more)" if len(self.differences) > 3 else ""
            return "; ".join(str(found) for found in self.differences[:3]) + more
        if self.verdict is BackupState.PARTIAL:
            why = sorted(set(self.unproven.values())) or [
                f"pg_restore: {text}" for text in self.complaints[:2]
            ]
            return f"partially proven: {'; '.join(why)}; {len(self.unproven)} things unproven, {proven}"
        return f"restored and compared: {proven}"


def compare(manifest: Manifest, copy: Copy) -> Judgement:
    """Compare everything that the manifest holds with the copy."""
    differences: list[Difference] = []
    unproven: dict[str, str] = {}
    proven = _tables(manifest, copy, differences, unproven)
    _parts(manifest, copy, differences, unproven)
    _sequences(manifest, copy, differences, unproven)
    _roles(manifest, copy, differences)
    if manifest.large_objects != copy.large_objects:
        differences.append(
            Difference("large objects", _said(manifest.large_objects), _said(copy.large_objects))
        )
    if differences:
        verdict = BackupState.FAILED
    elif unproven or copy.complaints:
        verdict = BackupState.PARTIAL
    else:
        verdict = BackupState.PROVEN
    rows = sum(manifest.tables[name].rows for name in proven)
    return Judgement(verdict, tuple(differences), unproven, copy.complaints, len(proven), rows)


def _said(counted: Counted | None) -> str:
    return "missing" if counted is None else f"{counted.rows:,} rows with checksum {counted.sum}"


def _excuse(schema: Schema, thing: str, lacks: Collection[str]) -> str | None:
    missing = sorted(set(schema.needs.get(thing, ())) & set(lacks))
    if not missing:
        return None
    # A locale already says what it is.
    return ", ".join(
        f"{name} is missing" if name == "ICU" or " " in name else f"extension {name} is missing"
        for name in missing
    )


def _tables(
    manifest: Manifest, copy: Copy, differences: list[Difference], unproven: dict[str, str]
) -> list[str]:
    proven = []
    for name, expected in sorted(manifest.tables.items()):
        found = copy.tables.get(name)
        if found == expected:
            proven.append(name)
            continue
        # A table that could not even be created is excused; one that is there must be equal, unless a locale that
        # is not here had a say in what was computed or let in.
        lacks = copy.lacks if found is None else {each for each in copy.lacks if each.startswith(LOCALE)}
        excuse = _excuse(manifest.schema_, f"relation {name}", lacks)
        if excuse:
            unproven[f"table {name}"] = excuse
        else:
            differences.append(Difference(f"table {name}", _said(expected), _said(found)))
    known = manifest.tables.keys() | manifest.skipped.keys()
    differences += [
        Difference(f"table {table.key}", "none", "a table that was not there")
        for table in copy.listed
        if table.key not in known and not table.of_extension
    ]
    return proven


def _parts(manifest: Manifest, copy: Copy, differences: list[Difference], unproven: dict[str, str]) -> None:
    exact = manifest.server.major == copy.major
    for category, expected in manifest.schema_.parts.items():
        there = copy.schema.parts.get(category, {})
        for name, definition in sorted(expected.items()):
            found = there.get(name)
            if found == definition or (found is not None and not exact and category in WITHIN_MAJOR):
                continue
            if category == "grant" and not exact:
                continue
            thing = f"{category} {name}"
            excuse = _excuse(manifest.schema_, thing, copy.lacks) or _parent(manifest, category, name, copy)
            if excuse:
                unproven[thing] = excuse
            elif f"table {name}" not in {d.what for d in differences}:
                differences.append(Difference(thing, definition, found or "missing"))
    for extension in manifest.schema_.extensions:
        if extension in copy.lacks:
            unproven[f"extension {extension}"] = f"extension {extension} is missing"
        elif extension not in copy.schema.extensions:
            differences.append(Difference(f"extension {extension}", "installed", "missing"))


def _parent(manifest: Manifest, category: str, name: str, copy: Copy) -> str | None:
    """A column or constraint of a relation that could not be created is excused with it."""
    if category not in ("column", "constraint", "trigger", "policy", "rule", "grant"):
        return None
    owner = name if category == "grant" else name.rpartition(".")[0]
    if owner in copy.schema.parts.get("relation", {}):
        return None
    return _excuse(manifest.schema_, f"relation {owner}", copy.lacks)


def _sequences(
    manifest: Manifest, copy: Copy, differences: list[Difference], unproven: dict[str, str]
) -> None:
    for name, expected in sorted(manifest.sequences.items()):
        found = copy.sequences.get(name)
        if found != expected and f"relation {name}" not in unproven:
            differences.append(Difference(f"sequence {name}", expected, found or "missing"))


def _roles(manifest: Manifest, copy: Copy, differences: list[Difference]) -> None:
    differences += [
        Difference(f"role {role}", "restored", "missing")
        for role in manifest.schema_.roles
        if role not in copy.roles
    ]
