"""The steps of a renewal. Each may be killed anywhere and done again: the files on disk say how far it came."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mainstay.certs.authority import NoWord
from mainstay.certs.certbot import OrderFailed
from mainstay.certs.pem import Leaf, Pair
from mainstay.certs.placeholder import placeholder
from mainstay.certs.ports import CertPorts
from mainstay.certs.reload import words
from mainstay.certs.rule import Due, Window, due, pause
from mainstay.certs.shelf import Unreadable
from mainstay.core import crash
from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed, Outcome, RunContext
from mainstay.core.units import format_duration
from mainstay.engine.queue import enqueue
from mainstay.store import certificates
from mainstay.store.base import Tx
from mainstay.store.certificates import Certificate

OLD_WORD = 2 * 86400.0
"""Seconds for which the authority's last word counts while it cannot be asked."""
ASK_AGAIN = 3600.0
HOUR = 3600.0
DAY = 86400.0
UNCHECKED = "not looked at: served is unchecked"


class Renewal:
    """One run's work on one certificate."""

    def __init__(self, run: RunContext, ports: CertPorts, name: str) -> None:
        self.run = run
        self.ports = ports
        self.name = name
        self.settings = ports.certificate(name)
        self.shelf = ports.shelf(name)

    # --- steps -----------------------------------------------------------------------------------------------------

    async def look(self) -> dict[str, Any]:
        """Decide: keep what there is, put something in place that is on disk already, or order."""
        row = await self.ports.store.read(lambda tx: certificates.get(tx, self.name))
        pair, version = self._in_place()
        first = pair is None or pair.leaf.self_signed
        if version is None:
            version = self._hold_the_place()
        found = {"previous": version, "issued": self._issued_serial(), "first": first}
        if wanted := self.run.args.get("version"):
            return {**found, "action": "install", "version": str(wanted), "why": "it was asked for"}
        forced = bool(self.run.args.get("force"))
        now = self.run.now()
        if row.failures and row.retry_at and now < row.retry_at and not forced:
            raise self._waits(row, now)
        if not forced and (ready := self._ready(pair)):
            return {
                **found,
                "action": "install",
                "version": self.shelf.add(ready),
                "why": "it was issued before",
            }
        planned = await self._planned(row, pair)
        if forced:
            planned = Due(now, "it was asked for")
        if planned.at <= self.run.now():
            self.run.log(f"{self.name} is ordered: {planned.why}")
            return {**found, "action": "order", "version": None, "why": planned.why}
        return {**found, "action": "keep", "version": version, "why": planned.why, "due_at": planned.at}

    async def order(self, found: dict[str, Any]) -> dict[str, Any]:
        """Give a version on disk: the one that was found, one that a killed run got, or a new one."""
        if found["action"] == "install":
            pair = self.shelf.read(found["version"])
            return self._ready_as(found, pair)
        pair_or_none = self.ports.orders.issued(self.settings)
        if pair_or_none is None or pair_or_none.leaf.serial == found["issued"]:
            try:
                pair_or_none = await self.ports.orders.order(self.settings, self.run.log)
            except OrderFailed as fault:
                raise await self._failed(fault.what, retry_at=fault.retry_at, limited=fault.limited) from None
        planned = due(pair_or_none.leaf, self.settings.names, self.run.now())
        if planned.at <= self.run.now():
            raise await self._failed(
                f"the authority issued a certificate that is of no use: {planned.why}",
                hint="is the clock of this machine right?",
            )
        self.shelf.add(pair_or_none)
        return self._ready_as(found, pair_or_none)

    async def install(self, ready: dict[str, Any]) -> None:
        """Exchange the files."""
        self.shelf.point(ready["version"])
        crash.point("certs.installed")
        self.run.log(f"{self.shelf.directory} holds the certificate {ready['version']}")

    async def reload(self, ready: dict[str, Any]) -> None:
        """Make the servers take them; what was there before is put back when one of them cannot."""
        try:
            await self._reload()
        except MainstayError as fault:
            raise await self._put_back(ready, f"the servers did not take it: {fault}") from None
        crash.point("certs.reloaded")

    async def served(self, ready: dict[str, Any]) -> str:
        """See that it is served everywhere; what was there before is put back when it is not."""
        if self.settings.served == "unchecked":
            await self._installed(ready, UNCHECKED, None)
            return UNCHECKED
        sight = await self.ports.watch(self.name, ready["fingerprint"])
        if not sight.right:
            raise await self._put_back(ready, sight.summary())
        crash.point("certs.served")
        await self._installed(ready, sight.summary(), self.run.now())
        self.shelf.prune()
        return sight.summary()

    async def keep(self, found: dict[str, Any]) -> Outcome:
        """Nothing is due: see that what is in place is served, and have servers reload once when it is not."""
        pair = self.shelf.read(found["version"])
        served, at = UNCHECKED, None
        if self.settings.served != "unchecked":
            served, at = await self._seen(pair.leaf), self.run.now()
        await self._note(
            lambda row: replace(row, served=served, served_at=at or row.served_at, failures=0, fault="")
        )
        await self._wake_at(found["due_at"], "due")
        left = format_duration(_rough(pair.leaf.not_after - self.run.now()))
        wait = format_duration(_rough(found["due_at"] - self.run.now()))
        summary = f"{self.name}: valid for {left}, due in {wait}; {served}"
        return Outcome(summary, {"action": "kept", **_facts(self.name, pair.leaf), "served": at is not None})

    def outcome(self, ready: dict[str, Any], served: str) -> Outcome:
        """Say what was done."""
        left = format_duration(_rough(ready["not_after"] - self.run.now()))
        action = "installed" if ready["action"] == "install" else "issued" if ready["first"] else "renewed"
        told = ("certificate", "serial", "fingerprint", "names", "not_after", "why")
        facts = {name: ready[name] for name in told}
        return Outcome(
            f"{self.name}: {action}, valid for {left}; {served}",
            {"action": action, **facts, "served": served != UNCHECKED},
        )

    # --- looking ---------------------------------------------------------------------------------------------------

    def _in_place(self) -> tuple[Pair | None, str | None]:
        version = self.shelf.current()
        if version is None:
            return None, None
        try:
            return self.shelf.read(version), version
        except Unreadable:
            raise  # nothing is put in the place of a certificate that may be well
        except MainstayError as fault:
            self.run.log(f"what is in place cannot be used: {fault}")
            return None, None

    def _hold_the_place(self) -> str:
        """Put one that nobody trusts in place: a server that cannot start can answer no challenge either."""
        version = self.shelf.add(placeholder(self.settings.names, self.run.now()))
        self.shelf.point(version)
        self.run.log(f"{self.shelf.directory} holds a certificate signed by itself until there is another")
        return version

    def _issued_serial(self) -> str | None:
        issued = self.ports.orders.issued(self.settings)
        return issued.leaf.serial if issued else None

    def _ready(self, pair: Pair | None) -> Pair | None:
        """Give what was issued but never put in place, if it is of use: nothing is ordered twice."""
        issued, now = self.ports.orders.issued(self.settings), self.run.now()
        real = pair is not None and not pair.leaf.self_signed
        if issued is None or (real and pair and issued.leaf.not_before <= pair.leaf.not_before):
            return None
        if due(issued.leaf, self.settings.names, now).at <= now:
            return None
        return issued

    async def _planned(self, row: Certificate, pair: Pair | None) -> Due:
        """Say when it is due, and keep that and what the authority said."""
        now = self.run.now()
        revoked = None
        if pair is not None and not pair.leaf.self_signed:
            row = await self._advised(row, pair)
            revoked = await self._revoked(pair)
        leaf = pair.leaf if pair and not pair.leaf.self_signed else None
        window = _window(row, leaf, now)
        planned = due(leaf, self.settings.names, now, window=window, revoked=revoked)
        seen = replace(
            row,
            names=tuple(self.settings.names),
            serial=leaf.serial if leaf else None,
            issuer=leaf.issuer if leaf else None,
            not_before=leaf.not_before if leaf else None,
            not_after=leaf.not_after if leaf else None,
            due_at=planned.at,
            due_why=planned.why,
        )
        await self._note(lambda _: seen)
        return planned

    async def _advised(self, row: Certificate, pair: Pair) -> Certificate:
        """Ask the authority when to renew, unless it said so lately."""
        now, known = self.run.now(), row.ari_serial == pair.leaf.serial
        if known and row.ari_next is not None and now < row.ari_next <= now + DAY:
            return row
        try:
            advice = await self.ports.words.advice(self.settings.server, pair, self.settings.server_ca)
        except NoWord as fault:
            self.run.log(f"the authority was not heard about renewal: {fault}")
            return replace(row, ari_next=now + ASK_AGAIN) if known else row
        window = advice.window
        return replace(
            row,
            ari_serial=pair.leaf.serial,
            ari_start=window.start if window else None,
            ari_end=window.end if window else None,
            ari_why=window.why if window else "",
            ari_at=now,
            ari_next=advice.again_at,
        )

    async def _revoked(self, pair: Pair) -> str | None:
        try:
            return await self.ports.words.revoked(pair)
        except NoWord as fault:
            self.run.log(f"the authority was not heard about revocation: {fault}")
            return None

    async def _seen(self, leaf: Leaf) -> str:
        sight = await self.ports.look(self.name, leaf.fingerprint)
        if not sight.right:
            self.run.log(f"{sight.summary()}; the servers are reloaded")
            await self._reload()
            sight = await self.ports.watch(self.name, leaf.fingerprint)
        if not sight.right:
            await self._note(lambda row: replace(row, served=sight.summary()))
            raise JobFailed(sight.summary(), hint=_elsewhere(), retry=False)
        return sight.summary()

    # --- doing -----------------------------------------------------------------------------------------------------

    async def _reload(self) -> None:
        for target in self.settings.reloads:
            self.run.log(f"reload {words(target)}")
            await self.ports.reload(target, self.ports.clock)

    async def _put_back(self, ready: dict[str, Any], fault: str) -> JobFailed:
        """Put the certificate of before in place, unless that would be worse; give the failure to raise."""
        crash.point("certs.undoing")
        before = self._worth_putting_back(ready["previous"])
        if before is None:
            return await self._failed(
                f"{fault}; there was none to put back that is still valid", hint=_elsewhere()
            )
        self.shelf.point(before)
        try:
            await self._reload()
        except MainstayError as again:
            self.run.log(f"nor did they take the one of before: {again}")
        self.run.log(f"{self.shelf.directory} holds the certificate of before again, {before}")
        return await self._failed(f"{fault}; the certificate of before was put back", hint=_elsewhere())

    def _worth_putting_back(self, version: str | None) -> str | None:
        if version is None:
            return None
        try:
            leaf = self.shelf.read(version).leaf
        except MainstayError:
            return None
        return version if leaf.not_after > self.run.now() else None

    def _ready_as(self, found: dict[str, Any], pair: Pair) -> dict[str, Any]:
        return {**found, "version": pair.leaf.serial, **_facts(self.name, pair.leaf)}

    async def _installed(self, ready: dict[str, Any], served: str, at: float | None) -> None:
        leaf = self.shelf.read(ready["version"]).leaf
        planned = due(leaf, self.settings.names, self.run.now())
        await self._note(
            lambda row: replace(
                row,
                names=tuple(self.settings.names),
                serial=leaf.serial,
                issuer=leaf.issuer,
                not_before=leaf.not_before,
                not_after=leaf.not_after,
                installed_at=self.run.now(),
                served=served,
                served_at=at or row.served_at,
                due_at=planned.at,
                due_why=planned.why,
                failures=0,
                retry_at=None,
                fault="",
            )
        )

    # --- failing ---------------------------------------------------------------------------------------------------

    def _waits(self, row: Certificate, now: float) -> JobFailed:
        wait = format_duration(max(60.0, _rough((row.retry_at or now) - now)))
        self.run.log(f"nothing is tried for another {wait}: authorities count failures")
        return JobFailed(
            row.fault, hint=f"mainstay certs renew {self.name} --force tries at once", retry=False
        )

    async def _failed(
        self, what: str, *, hint: str | None = None, retry_at: float | None = None, limited: bool = False
    ) -> JobFailed:
        """Keep that it failed and when the next try is, and have a run then; give what to raise."""
        now = self.run.now()

        def note(tx: Tx) -> float:
            row = certificates.get(tx, self.name)
            failures = row.failures + 1
            wait = DAY if limited else pause(failures, (row.not_after or now) - now)
            at = (
                max(now + wait, retry_at or 0.0)
                if not limited or retry_at is None
                else max(retry_at, now + HOUR)
            )
            changed = replace(
                row,
                names=tuple(self.settings.names),
                failures=failures,
                retry_at=at,
                fault=what,
                looked_at=now,
            )
            certificates.put(tx, changed)
            self._enqueue(tx, at, "retry", now)
            return at

        at = await self.ports.store.write(note)
        self.run.log(f"the next try is in {format_duration(_rough(at - now))}")
        return JobFailed(what, hint=hint, retry=False)

    # --- the journal -----------------------------------------------------------------------------------------------

    async def _note(self, change: Callable[[Certificate], Certificate]) -> None:
        now = self.run.now()

        def unit(tx: Tx) -> None:
            certificates.put(tx, replace(change(certificates.get(tx, self.name)), looked_at=now))

        await self.ports.store.write(unit)

    async def _wake_at(self, at: float, why: str) -> None:
        """Have a run at the very moment, when the schedule would only come later."""
        now = self.run.now()
        if now < at < now + self.settings.every:
            await self.ports.store.write(lambda tx: self._enqueue(tx, at, why, now))

    def _enqueue(self, tx: Tx, at: float, why: str, now: float) -> None:
        enqueue(tx, self.run.job, key=f"{self.run.job}@{why}:{at:.0f}", due_at=at, now=now, why=why)


def _window(row: Certificate, leaf: Leaf | None, now: float) -> Window | None:
    """Give what the authority suggested for this very certificate, unless that is too long ago."""
    if leaf is None or row.ari_serial != leaf.serial or row.ari_start is None or row.ari_end is None:
        return None
    if row.ari_at is None or not now - OLD_WORD <= row.ari_at <= now + HOUR:
        return None
    return Window(row.ari_start, row.ari_end, row.ari_why)


def _facts(name: str, leaf: Leaf) -> dict[str, Any]:
    return {
        "certificate": name,
        "serial": leaf.serial,
        "fingerprint": leaf.fingerprint,
        "names": list(leaf.names),
        "not_after": leaf.not_after,
    }


def _elsewhere() -> str:
    return (
        "where another server answers for these names, say what to look at: served: {addresses: [HOST:PORT]}"
    )


def _rough(seconds: float) -> float:
    """Leave out what nobody reads: seconds of hours, minutes of days."""
    unit = DAY if seconds >= 3 * DAY else HOUR if seconds >= 3 * HOUR else 60.0
    return max(0.0, round(seconds / unit) * unit) or max(0.0, round(seconds))
