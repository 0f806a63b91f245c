"""Upkeep's part of the composition."""

from pathlib import Path

from mainstay.checks.redis import RedisCheck
from mainstay.config.model import Config
from mainstay.core.incident import Severity
from mainstay.core.run import Run, RunState
from mainstay.engine.runner import RunHook
from mainstay.incidents.desk import Desk
from mainstay.ports.clock import Clock
from mainstay.ports.objects.directory import Directory
from mainstay.store.base import Store, Tx
from mainstay.store.open import sqlite_path
from mainstay.upkeep.optimise.ailment import Ailment
from mainstay.upkeep.optimise.ailment import Level as Grade
from mainstay.upkeep.patches.weakness import SYSTEM_PACKAGES, Level, Weakness
from mainstay.upkeep.ports import UpkeepPorts

HOLES = "holes:"
"""The key of an incident about what a job of security updates found."""
AILING = "ailments:"
"""The key of an incident about what a job found in databases."""
TOLD = 8
"""Holes that an incident tells one by one."""


def upkeep_ports(config: Config, clock: Clock, store: Store) -> UpkeepPorts:
    """Give what the jobs of upkeep need."""
    return UpkeepPorts(
        store,
        clock,
        config.timezone,
        _protected(config),
        databases={name: database.dsn for name, database in config.databases.items()},
        redis={service: check.url for _, service, check in config.checks() if isinstance(check, RedisCheck)},
    )


def _protected(config: Config) -> dict[Path, str]:
    """Name what no clean-up may touch."""
    found = {config.state_dir: "mainstay's own directory", config.file: "mainstay's configuration"}
    if config.journal is None or config.journal.resolved:
        url = config.journal_url
        if url.startswith("sqlite:"):
            found[sqlite_path(url)] = "mainstay's journal"
    for name, storage in config.storage.items():
        if isinstance(storage, Directory):
            found[storage.path] = f"where the storage {name} keeps backups"
    return found


def holes_hook(desk: Desk) -> RunHook:
    """Give the runner's hook that makes an incident of what `security_patches` found, until it is gone."""

    def ended(tx: Tx, run: Run) -> None:
        if run.state is RunState.DONE and "weaknesses" in run.outcome:
            _tell(desk, tx, run)

    return ended


def ailments_hook(desk: Desk) -> RunHook:
    """Give the runner's hook that makes an incident of what is critical about a database, until it is mended."""

    def ended(tx: Tx, run: Run) -> None:
        if run.state is not RunState.DONE or "ailments" not in run.outcome:
            return
        grave = [
            one
            for each in run.outcome["ailments"]
            if (one := Ailment.from_json(each)).level is Grade.CRITICAL
        ]
        if not grave:
            desk.clear_condition(tx, f"{AILING}{run.job}", run.summary)
            return
        desk.raise_condition(
            tx,
            f"{AILING}{run.job}",
            service=run.job,
            severity=Severity.CRITICAL,
            title="A database runs out of transaction numbers",
            detail="\n".join(f"{each.database}: {each.subject}: {each.words}" for each in grave[:TOLD]),
            hint=grave[0].fix,
            facts={"job": run.job, "run": run.id},
        )

    return ended


def _tell(desk: Desk, tx: Tx, run: Run) -> None:
    found = [Weakness.from_json(each) for each in run.outcome["weaknesses"]]
    loud = [each for each in found if each.level in (Level.CRITICAL, Level.WARNING) or _blind(each)]
    if not loud:
        desk.clear_condition(tx, f"{HOLES}{run.job}", run.summary)
        return
    critical = any(each.level is Level.CRITICAL for each in loud)
    lines = [each.words for each in loud[:TOLD]]
    rest = f"\nand {len(loud) - TOLD} more" if len(loud) > TOLD else ""
    desk.raise_condition(
        tx,
        f"{HOLES}{run.job}",
        service=run.job,
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        title="This machine has known security holes"
        if _known(loud)
        else "Nobody knows which updates are missing",
        detail="\n".join(lines) + rest,
        hint=f"mainstay logs {run.job} lists them with their remedies",
        facts={"job": run.job, "run": run.id},
    )


def _blind(weak: Weakness) -> bool:
    """Whether nobody could look at the system's own packages: that is no better than a hole."""
    return weak.level is Level.UNKNOWN and weak.subject == SYSTEM_PACKAGES


def _known(loud: list[Weakness]) -> bool:
    return any(each.level is not Level.UNKNOWN for each in loud)
