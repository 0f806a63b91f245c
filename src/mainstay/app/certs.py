"""The room of certificates, put together: its jobs, what they are given, and whom a renewal is told."""

import hashlib
from collections.abc import Sequence

from mainstay.certs.authority import Authority
from mainstay.certs.certbot import Certbot
from mainstay.certs.jobs import RenewSsl
from mainstay.certs.ports import CertPorts
from mainstay.certs.reload import words
from mainstay.certs.settings import CertificateSettings
from mainstay.certs.shelf import Shelf
from mainstay.config.model import Config
from mainstay.core.ids import new_id
from mainstay.core.incident import EventKind, Severity
from mainstay.core.job import Job
from mainstay.core.notifier import Message
from mainstay.core.run import Run, RunState
from mainstay.core.secret import redact
from mainstay.engine.queue import enqueue
from mainstay.engine.runner import RunHook
from mainstay.incidents.desk import Desk
from mainstay.incidents.from_run import key_of, title_of
from mainstay.ports.clock import Clock
from mainstay.ports.resolver import Resolver
from mainstay.store import certificates, outbox
from mainstay.store.base import Store, Tx
from mainstay.web.plan import CertificatePlan

PREFIX = "renew:"
HOME = "certs"
"""Where certificates lie in `state_dir`, each in a directory of its own."""
TOLD = {"issued": "was issued", "renewed": "was renewed", "installed": "was put in place"}
"""What a run may have done that people are told of, and how."""
URGENT = 1 / 6
"""The part of a certificate's life below which a failed renewal wakes people."""


def jobs_of(given: Sequence[CertificateSettings]) -> dict[str, Job]:
    """Make the job of every certificate."""
    return {f"{PREFIX}{each.called}": RenewSsl(certificate=each.called, every=each.every) for each in given}


def ports_of(config: Config, clock: Clock, store: Store) -> CertPorts:
    """Give the room what it needs."""
    resolver = Resolver(clock)
    return CertPorts(
        store=store,
        clock=clock,
        certificates={each.called: each for each in config.certificates},
        home=config.state_dir / HOME,
        orders=Certbot(config.state_dir / "certbot", clock),
        words=Authority(clock),
        resolve=lambda host: resolver.resolve(host, fresh=True),
    )


def shelf_of(config: Config, name: str) -> Shelf:
    """Give the place of a certificate's files. Raises `LookupError` when there is no such certificate."""
    settings = {each.called: each for each in config.certificates}[name]
    return Shelf(settings.directory or config.state_dir / HOME / name, settings.group)


def plans_of(config: Config) -> tuple[CertificatePlan, ...]:
    """Say what the dashboard may know of each certificate."""
    return tuple(
        CertificatePlan(
            name=each.called,
            job=f"{PREFIX}{each.called}",
            names=tuple(each.names),
            directory=str(shelf_of(config, each.called).directory),
            reload=redact(", ".join(words(target) for target in each.reloads)),
            proof=_proof(each),
        )
        for each in config.certificates
    )


def _proof(settings: CertificateSettings) -> str:
    if settings.dns is not None:
        return f"DNS at {settings.dns}" if isinstance(settings.dns, str) else "DNS, by a command"
    return f"HTTP from {settings.webroot}" if settings.webroot else f"HTTP on {settings.listen}"


async def begin(config: Config, clock: Clock, store: Store) -> None:
    """Have a run at once for every certificate that is new, or whose names have changed."""
    now = clock.now()

    def unit(tx: Tx) -> None:
        for each in config.certificates:
            if set(certificates.get(tx, each.called).names) != set(each.names):
                names = hashlib.sha256(" ".join(sorted(each.names)).encode()).hexdigest()[:12]
                job = f"{PREFIX}{each.called}"
                enqueue(tx, job, key=f"{job}@new:{names}", due_at=now, now=now, why="it is new")

    if config.certificates:
        await store.write(unit)


def hook(desk: Desk) -> RunHook:
    """Tell every channel of a renewal, and wake people when a failed one leaves little time."""

    def ended(tx: Tx, run: Run) -> None:
        if not run.job.startswith(PREFIX):
            return
        name = run.job.removeprefix(PREFIX)
        if run.state is RunState.DONE and run.outcome.get("action") in TOLD:
            _tell(desk, tx, run)
        elif run.state is RunState.FAILED and _urgent(tx, name, desk.clock.now()):
            desk.raise_condition(
                tx,
                key_of(run.job),
                service=run.job,
                severity=Severity.CRITICAL,
                title=title_of(run.job),
                detail=run.error or "It gave no reason.",
                hint=f"mainstay logs {run.job} shows the run; mainstay certs renew {name} repeats it",
                facts={"job": run.job, "run": run.id},
            )

    return ended


def _tell(desk: Desk, tx: Tx, run: Run) -> None:
    """Owe good news to the channels that hear of everything; it is no incident, and nobody is woken."""
    now = desk.clock.now()
    name = run.job.removeprefix(PREFIX)
    verb = TOLD[run.outcome["action"]]
    for channel in desk.routing.channels:
        if channel.when != "always":
            continue
        message = Message(
            key=new_id(now),
            thread=f"certificate:{name}:{run.outcome['serial']}",
            kind=EventKind.RESOLVED,
            severity=Severity.INFO,
            service=name,
            title=f"The certificate of {name} {verb}",
            detail=run.summary,
            event_at=now,
            facts={"names": ", ".join(run.outcome["names"]), "why": run.outcome["why"]},
        )
        outbox.owe(tx, channel.name, message, now)


def _urgent(tx: Tx, name: str, now: float) -> bool:
    row = certificates.get(tx, name)
    if row.not_after is None or row.not_before is None:
        return False
    return row.not_after - now < (row.not_after - row.not_before) * URGENT
