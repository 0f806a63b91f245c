"""The story: a backup is proven, an API dies and comes back, a rotten backup is found out, a wrong DELETE is undone,
webhooks wait for their receiver, an API is asked too often, a certificate is renewed. All of it measured."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mainstay.core.check import Verdict
from mainstay.core.errors import MainstayError
from mainstay.core.incident import Incident, IncidentState
from mainstay.core.run import Run, RunState
from mainstay.core.service import Process
from mainstay.core.units import format_duration, format_size
from mainstay.demo.company import DATABASES, Company
from mainstay.demo.measures import Alerts, BackupMeasure, Corruption, IncidentMeasure, Measures
from mainstay.demo.mistake import undo
from mainstay.demo.renewal import renew
from mainstay.demo.traffic import Traffic
from mainstay.engine.queue import enqueue
from mainstay.incidents.machine import key_of
from mainstay.ports.services import control_for
from mainstay.store import backups, incidents, results, runs
from mainstay.store.backups import Backup, BackupState

T = TypeVar("T")
Tell = Callable[[str], None]

API_CHECK = "api/http"


async def until(look: Callable[[], Awaitable[T | None]], what: str, seconds: float = 90.0) -> T:
    """Look again and again until something is found. Raises `MainstayError` after `seconds`."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise MainstayError(f"the demonstration waited {seconds:.0f} s in vain: {what}")


class Story:
    """Plays the acts in order on a running company; `tell` is given a line for each thing that happens."""

    def __init__(self, company: Company, tell: Tell) -> None:
        self.company = company
        self.tell = tell
        self.measures = Measures()

    async def play(self) -> Measures:
        """All acts; gives what was measured."""
        await self.wake()
        await self.back_up()
        await self.kill_the_api()
        await self.rot_a_backup()
        self.measures.pitr = await undo(self.company, self.tell, until, self._run)
        traffic = Traffic(self.company, self.tell, until)
        self.measures.webhooks = await traffic.webhooks()
        self.measures.gateway = await traffic.gateway()
        self.measures.certificates = await renew(self.company, self.tell, until, self._run)
        await self.count_alerts()
        return self.measures

    async def wake(self) -> None:
        """Wait until every check has answered and all is well."""

        async def well() -> bool:
            states = await self.company.store.read(results.states)
            wanted = {check for check, _, _ in self.company.config.checks()}
            return wanted <= {row["check_id"] for row in states if row["verdict"] == Verdict.OK}

        await until(well, "every service is healthy")
        services = self.company.config.services
        self.tell(f"{len(services)} services are healthy; the dashboard is at {self.company.url}")

    async def back_up(self) -> None:
        """Take a backup of every database; each is restored into a throwaway server and compared."""
        for name in DATABASES:
            run = await self._run(f"backup:{name}")
            taken = await self._latest(name)
            proof = await self.company.store.read(partial(backups.proofs, backup=taken.id))
            proven = taken.state is BackupState.PROVEN and bool(proof)
            seconds = proof[0].seconds if proof else 0.0
            self.measures.backups.append(
                BackupMeasure(
                    name,
                    taken.tables,
                    taken.rows,
                    taken.bytes,
                    proven,
                    round(taken.seconds, 2),
                    round(seconds, 2),
                )
            )
            self.tell(
                f"{name}: {taken.tables} tables, {taken.rows:,} rows, {format_size(taken.bytes)} taken in "
                f"{format_duration(taken.seconds)}, restored and compared in {format_duration(seconds)}: "
                f"{taken.state.value if run.state is RunState.DONE else run.error}"
            )

    async def kill_the_api(self) -> None:
        """SIGKILL the API and watch it being noticed, told, restarted and confirmed."""
        pid = await self._api_pid()
        seen = len(self.company.receiver.ledger)
        killed_at = time.time()
        os.kill(pid, signal.SIGKILL)
        self.tell(f"kill -9 {pid}: the Order API is dead")
        incident = await until(lambda: self._incident_since(killed_at), "the killed API is detected", 30)
        detect = incident.opened_at - killed_at
        self.tell(f"noticed and confirmed after {detect:.1f} s: {incident.title}")
        alert = await until(lambda: self._arrival(seen, "trigger"), "the alert arrives", 30) - killed_at
        self.tell(f"the pager was called {alert:.1f} s after the kill")
        await until(lambda: self._resolved(incident.id), "the incident is resolved", 90)
        heal = await self._answered_at(killed_at) - killed_at
        self.tell(f"restarted by the playbook; it answered again {heal:.1f} s after the kill")
        told = await until(lambda: self._arrival(seen, "resolve"), "the recovery is told", 30) - killed_at
        self.tell(f"the pager was told of the recovery after {told:.1f} s")
        self.measures.incident = IncidentMeasure(*(round(value, 2) for value in (detect, alert, heal, told)))

    async def rot_a_backup(self) -> None:
        """Flip one bit of a stored backup; the next proof must find it, and a new backup must end the incident."""
        taken = await self._latest("erp_prod")
        file = await asyncio.to_thread(self._flip, taken)
        self.tell(f"one bit of {file.name} was flipped on the storage")
        began = time.time()
        run = await self._run("prove:erp_prod")
        rotten = await self._latest("erp_prod")
        detected = run.state is RunState.FAILED and rotten.state is BackupState.FAILED
        self.measures.corruption = Corruption(detected, round(time.time() - began, 2), run.error or "")
        self.tell(f"the next proof says: {run.error or run.summary}")
        run = await self._run("backup:erp_prod")
        again = await self._latest("erp_prod")
        self.measures.corruption.replaced = again.id != taken.id and again.state is BackupState.PROVEN
        self.tell(f"a new backup was taken at once: {again.state.value}")

    async def count_alerts(self) -> None:
        """Wait until nothing is owed any more; then compare the journal with what arrived."""

        async def settled() -> bool:
            owed, delivered = await self.company.store.read(self._owed)
            return owed > 0 and owed == delivered

        await until(settled, "every alert is delivered", 60)
        owed, delivered = await self.company.store.read(self._owed)
        arrived = len(self.company.receiver.ledger)
        self.measures.alerts = Alerts(owed, min(delivered, arrived), max(0, arrived - delivered))
        self.tell(
            f"{owed} messages were owed, {delivered} delivered, {max(0, arrived - delivered)} of them twice"
        )

    def _owed(self, tx: Any) -> tuple[int, int]:
        row = tx.one("demo.alerts")
        return int(row["owed"]), int(row["delivered"])

    async def _run(self, job: str, args: dict[str, Any] | None = None) -> Run:
        now = time.time()
        store = self.company.store
        queued = await store.write(
            lambda tx: enqueue(
                tx, job, key=f"{job}:demo:{now}", due_at=now, now=now, args=args, why="demonstration"
            )
        )

        async def ended() -> Run | None:
            run = await store.read(lambda tx: runs.require(tx, queued.id))
            return run if run.state.ended else None

        return await until(ended, f"{job} ends", 120)

    async def _latest(self, database: str) -> Backup:
        found = await self.company.store.read(lambda tx: backups.latest(tx, database))
        if found is None:
            raise MainstayError(
                f"no backup of {database} was taken", hint="look at the runs on the dashboard"
            )
        return found

    async def _api_pid(self) -> int:
        config = self.company.config
        runs_on = config.services["api"].runs_on
        if not isinstance(runs_on, Process):
            raise MainstayError("the demonstration's API is not a process")
        state = await control_for("api", runs_on, config.state_dir, config.file.parent).state()
        if state.pid is None:
            raise MainstayError(f"the demonstration's API does not run: {state.detail}")
        return state.pid

    async def _incident_since(self, moment: float) -> Incident | None:
        found = await self.company.store.read(lambda tx: incidents.latest(tx, key_of(API_CHECK)))
        return found if found and found.opened_at >= moment else None

    async def _resolved(self, incident: str) -> bool:
        found = await self.company.store.read(lambda tx: incidents.get(tx, incident))
        return found is not None and found.state is IncidentState.RESOLVED

    async def _arrival(self, seen: int, action: str) -> float | None:
        for received in self.company.receiver.ledger[seen:]:
            if received.channel == "pagerduty" and received.body.get("event_action") == action:
                return received.at
        return None

    async def _answered_at(self, moment: float) -> float:
        row = await self.company.store.read(lambda tx: tx.one("demo.answered", check=API_CHECK, since=moment))
        if row is None or row["at"] is None:
            raise MainstayError("the API never answered again")
        return float(row["at"])

    def _flip(self, taken: Backup) -> Path:
        folder = self.company.home / "vault" / taken.path
        file = max(
            (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
        )
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0x10
        file.write_bytes(data)
        return file
