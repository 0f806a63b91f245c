"""The jobs that a database with backups brings along."""

from mainstay.backup.jobs import BackupPostgres, ProveBackup
from mainstay.backup.keeping import PruneBackups, VerifyBackups
from mainstay.backup.settings import BackupRules
from mainstay.core.job import Job


def database_jobs(
    name: str, backup: BackupRules, kind: type[BackupPostgres] = BackupPostgres
) -> dict[str, Job]:
    """Make the jobs of a database, or of other data, by their names.

    Pruning has no time of its own: every backup does it at its end.
    """
    proofs = None if backup.prove == "each" else backup.prove
    zone, limit = backup.timezone, backup.timeout
    return {
        f"backup:{name}": kind(database=name, at=backup.at, timezone=zone, timeout=limit),
        f"prove:{name}": ProveBackup(database=name, at=proofs, timezone=zone, timeout=limit),
        f"verify:{name}": VerifyBackups(database=name, at=backup.verify, timezone=zone, timeout=limit),
        f"prune:{name}": PruneBackups(database=name, timezone=zone),
    }
