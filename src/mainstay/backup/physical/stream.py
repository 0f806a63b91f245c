"""The stream of one database's server: received, shipped, watched, for as long as this node has the role."""

import asyncio
import logging
import shutil
from pathlib import Path

from mainstay.backup.physical.alarms import GAP, MARKERS, SLOT, STORAGE, STREAM, SYNC, Alarm, Alarms, unmarked
from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.branches import begin
from mainstay.backup.physical.layout import home_of, log_name
from mainstay.backup.physical.receiver import BROKEN, SET_BACK, Receiver
from mainstay.backup.physical.record import bases_of
from mainstay.backup.physical.release import let_commits_go
from mainstay.backup.physical.server import Server, mark, name_of
from mainstay.backup.physical.shipper import Shipper, Spool, systems
from mainstay.backup.physical.sight import Book
from mainstay.backup.physical.source import Source, address, source, wal_of
from mainstay.backup.physical.start import State, is_ahead, newest_log, resume
from mainstay.backup.physical.watchdog import Pace, Sight, Wish, synchronous, waits_for
from mainstay.backup.ports import BackupPorts
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.ids import new_id
from mainstay.core.incident import Severity
from mainstay.core.units import format_duration, format_size
from mainstay.engine.patience import patiently
from mainstay.engine.queue import enqueue
from mainstay.ports.postgres.dsn import PostgresError
from mainstay.ports.postgres.sandbox import end_leftovers

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
LOUD_AFTER = 20.0
"""Seconds without a stream, or without a storage, after which people are told."""
STALLED_AFTER = 10.0
"""Seconds after which a receiver that does not follow is started anew."""
LONGEST_PAUSE = 5.0
LAST_WORDS = 10.0
"""Seconds in which what is in the spool may still be shipped when this node leaves."""
TOO_MUCH = 0.5
"""Of what the server may keep for us: beyond it people are told before the slot is dropped."""


class Stream:
    """Receives, ships and watches. `folder` is where the spools live, one per server that was ever seen."""

    def __init__(self, ports: BackupPorts, alarms: Alarms, database: str, folder: Path) -> None:
        self.database = database
        self.name = name_of(database)
        self.settings = wal_of(ports, database)
        self.state = State()
        self.pace = Pace()
        self._ports = ports
        self._clock = ports.clock
        self._alarms = alarms
        self._folder = folder
        self._storage = ports.storage(self.settings.to)
        self._server = Server(address(ports, database), self.name)
        self._receiver = Receiver()
        self._shippers: dict[str, Shipper] = {}
        self._shipped_at = self._clock.monotonic()
        self._began = self._shipped_at
        self.book = Book(ports.store, self._clock, database, self.settings, self.name)
        self._seeded: set[str] = set()

    async def serve(self) -> None:
        """Work until cancelled; then commits do not wait for us any more."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Of a process that was killed something may lie there, a file with a password among it.
        await asyncio.to_thread(self._ports.scratch.sweep, end_leftovers)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive())
                tasks.create_task(self._ship())
                tasks.create_task(self._watch())
                tasks.create_task(self.book.serve())
                if self.settings.markers:
                    tasks.create_task(self._mark())
        finally:
            await asyncio.shield(self._leave())

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._ship_all()
        except (MainstayError, OSError) as fault:  # a time-out is an OSError
            logger.warning("the last of the log of %s stays in the spool: %s", self.database, fault)
        try:
            if self.settings.mode == "synchronous":
                sight = await self._server.look(synchronous=True)
                if waits_for(sight.names, self.name):
                    await self._server.wait_for_us(False)
        except MainstayError as fault:
            logger.warning("commits of %s may wait for a receiver that ends: %s", self.database, fault)
        finally:
            await self._server.close()

    def shipper(self, log: str) -> Shipper:
        """Give the one that ships a log, by the log's name."""
        if log not in self._shippers:
            archive = Archive(self._storage, f"{home_of(self.database)}/{log}")
            self._shippers[log] = Shipper(archive, self._folder / log)
        return self._shippers[log]

    @property
    def current(self) -> Shipper | None:
        """The one that ships what is received now; None until a server was seen."""
        return self._shippers.get(self.state.log or "")

    # Receiving

    async def _receive(self) -> None:
        pause = 0.1
        while True:
            began = self._clock.monotonic()
            try:
                async with source(self._ports, self.database) as found:
                    log = await self._prepare(found)
                    self.book.begin(log)
                    self._began = self._clock.monotonic()
                    self.state.said = await self._receiver.run(found, self._folder / log, self.name)
            except (MainstayError, OSError) as fault:
                self.state.said = str(fault)
            await self._ended()
            pause = 0.1 if self._clock.monotonic() - began > LOUD_AFTER else min(LONGEST_PAUSE, pause * 2)
            await self._clock.sleep(pause)

    async def _ended(self) -> None:
        """The receiver should never end: say so, and whether the log can be followed from where it was."""
        logger.warning("the log of %s is not received: %s", self.database, self.state.said)
        await self._alarms.say(self._unreceived(Severity.WARNING))
        self.state.set_back = self.state.set_back or bool(SET_BACK.search(self.state.said))
        if BROKEN.search(self.state.said):
            self.state.broken = True
            await self._gap(self.state.said)

    def _unreceived(self, severity: Severity) -> Alarm:
        return Alarm(
            STREAM,
            severity,
            f"The log of {self.database} is not received",
            self.state.said or "the server does not send to our receiver",
            "look at the server and the way to it; mainstay tries again all the time and goes on where it was",
        )

    async def _prepare(self, found: Source) -> str:
        """Make sure that the server keeps what we lack, and that the receiver begins where the storage ends.

        Gives the name of the log that is received from now on.
        """
        system = found.facts.system
        if self.state.system not in (None, system):
            await self._gap(f"the server at {found.dsn} is another one than before")
        if self.state.log is None or self.state.system != system:
            self.state.log = await newest_log(self._storage, self.database, system, self._folder)
        self.state.system = system
        await self._make_slot(found)
        shipper = self.shipper(self.state.log)
        await asyncio.to_thread(Spool(shipper.folder).mend, found.facts.segment)
        new = self.state.log not in self._seeded
        if self.state.set_back or await is_ahead(shipper, found.facts, look_there=new):
            return await self._branch_off(found)
        if self.state.broken:
            await shipper.ship()
            await shipper.begin_anew()
        elif new and (lost := await resume(shipper, found.facts.segment)):
            await self._gap(lost)
        self.state.broken = False
        self._seeded.add(self.state.log)
        try:
            await self._first_base(self.state.log)
        except MainstayError as fault:
            logger.warning("whether there is a base backup of %s is not known: %s", self.database, fault)
        return self.state.log

    async def _branch_off(self, found: Source) -> str:
        """Keep what a server that was set back writes apart from what it wrote before under the same names."""
        system = found.facts.system
        branch = await begin(self._storage, self.database, system, found.facts.now)
        point("stream.branched")
        self.state.log = log_name(system, branch.number)
        self._seeded.add(self.state.log)
        self.shipper(self.state.log)
        self.state.broken = self.state.set_back = False
        await self._gap(f"the server at {found.dsn} was set back: it does not have what was received of it")
        return self.state.log

    async def _make_slot(self, found: Source) -> None:
        # On a connection of its own: nobody may keep the watch waiting.
        server = Server(found.dsn, self.name)
        try:
            if (await server.look(synchronous=False)).slot is None and not self.state.slot_dropped:
                await server.make_slot()
                point("stream.slot")
        finally:
            await server.close()

    async def _first_base(self, log: str) -> None:
        bases, _ = await bases_of(self._storage, self.database)
        if not any(base.log == log for base in bases):
            await self._want_base(f"first:{log}", "there is none of this server yet")

    async def _gap(self, why: str) -> None:
        await self._alarms.say(
            Alarm(
                GAP,
                Severity.CRITICAL,
                f"The log of {self.database} has a gap",
                f"{why}; no moment from there to the next base backup can be restored",
                f"a base backup is under way; mainstay logs base_backup:{self.database}",
            )
        )
        await self._want_base(f"gap:{new_id(self._clock.now())}", "the log has a gap")

    async def _want_base(self, key: str, why: str) -> None:
        now, job = self._clock.now(), f"base_backup:{self.database}"
        args = {"full": True}
        await patiently(
            self._ports.store,
            self._clock,
            lambda tx: enqueue(tx, job, key=f"{job}:{key}", due_at=now, now=now, args=args, why=why),
        )

    # Shipping

    async def _ship(self) -> None:
        pause = self.settings.ship_every
        while True:
            try:
                received = self.book.received
                await self._ship_all()
                self.book.shipped(received, self.current)
                self._shipped_at = self._clock.monotonic()
                pause = self.settings.ship_every
                await self._alarms.clear(STORAGE, "everything is in the storage")
            except (MainstayError, OSError) as fault:
                await self._unshipped(fault)
                pause = min(LONGEST_PAUSE, pause * 2)
            await self._clock.sleep(pause)

    async def _ship_all(self) -> None:
        for log in await asyncio.to_thread(systems, self._folder):
            shipper = self.shipper(log)
            news = await shipper.ship()
            if not news and self.state.log not in (None, log):
                # All of it is in the storage, and nobody receives it any more.
                del self._shippers[log]
                self._seeded.discard(log)
                await asyncio.to_thread(shutil.rmtree, shipper.folder, ignore_errors=True)

    async def _unshipped(self, fault: Exception) -> None:
        since = self._clock.monotonic() - self._shipped_at
        if since < LOUD_AFTER:
            return
        severity = Severity.CRITICAL if since >= 10 * LOUD_AFTER else Severity.WARNING
        await self._alarms.say(
            Alarm(
                STORAGE,
                severity,
                f"The log of {self.database} does not reach its storage",
                f"for {format_duration(since)}: {fault}",
                "look at the storage; the log waits on this machine and on the server, up to most_retained",
            )
        )

    # Watching

    async def _watch(self) -> None:
        while True:
            sight = None
            try:
                sight = await self._server.look(synchronous=self.settings.mode == "synchronous")
                late = self.pace.late(sight, self._clock.monotonic())
                if self.settings.mode == "synchronous":
                    await self._keep_synchronous(sight, late)
                elif waits_for(sight.names, self.name):
                    await let_commits_go(self._server, self._alarms)
                await self._keep_slot(sight)
            except (MainstayError, OSError) as fault:
                if sight is None:
                    late = self.pace.late(None, self._clock.monotonic())
                    self.state.said = str(fault)
                logger.warning("looking after the log of %s: %s", self.database, fault)
            self.book.saw(sight, late, self.state.said)
            await self._judge(late)
            await self._clock.sleep(LOOK_EVERY)

    async def _judge(self, late: float) -> None:
        if late == 0:
            await self._alarms.clear(STREAM, "the log is received again")
        elif late >= LOUD_AFTER:
            await self._alarms.say(self._unreceived(Severity.CRITICAL))
        # One that was just started has its own time to begin.
        if min(late, self._clock.monotonic() - self._began) >= STALLED_AFTER:
            self._receiver.stop()

    async def _keep_synchronous(self, sight: Sight, late: float) -> None:
        well = self.pace.well(self._clock.monotonic())
        wish = synchronous(sight, self.name, late, well, self.settings.fall_back_after)
        try:
            if wish is not Wish.NOTHING:
                await self._server.wait_for_us(wish is Wish.WAIT)
                point("stream.waits")
        except PostgresError as fault:
            words = f"{fault.what}; the account needs ALTER SYSTEM on synchronous_standby_names and pg_reload_conf()"
            await self._alarms.say(self._unsynchronous(Severity.CRITICAL, words))
            return
        if wish is Wish.GO_ON:
            words = f"the receiver has not answered for {format_duration(late)}: commits go on without it"
            await self._alarms.say(self._unsynchronous(Severity.CRITICAL, words))
        elif sight.names.strip() and not waits_for(sight.names, self.name):
            words = f"synchronous_standby_names is {sight.names!r}, which mainstay leaves alone"
            await self._alarms.say(self._unsynchronous(Severity.WARNING, words))
        elif waits_for(sight.names, self.name) and sight.commit in ("off", "local"):
            words = f"synchronous_commit is {sight.commit}, so commits do not wait"
            await self._alarms.say(self._unsynchronous(Severity.WARNING, words))
        elif waits_for(sight.names, self.name) and late == 0:
            await self._alarms.clear(SYNC, "commits wait for the receiver again")

    def _unsynchronous(self, severity: Severity, words: str) -> Alarm:
        return Alarm(
            SYNC,
            severity,
            f"Commits of {self.database} do not wait for their copy",
            words,
            "nothing is wrong with the server; mainstay goes back by itself when its receiver follows",
        )

    async def _keep_slot(self, sight: Sight) -> None:
        shipper = self.current
        floor = shipper.floor if shipper else None
        if sight.slot is None or sight.kept_from is None:
            await self._want_slot(sight)
        elif sight.slot == "lost" or sight.retained > self.settings.most_retained:
            await self._drop_slot(sight)
        elif floor is not None and floor > sight.kept_from:
            await self._server.advance_slot(min(floor, sight.flushed))
        elif sight.retained < TOO_MUCH * self.settings.most_retained:
            await self._alarms.clear(SLOT, "the server keeps little for us")
        else:
            await self._alarms.say(
                Alarm(
                    SLOT,
                    Severity.WARNING,
                    f"The server of {self.database} keeps too much of its log",
                    f"{format_size(sight.retained)} wait to be shipped; at {format_size(self.settings.most_retained)} "
                    "the slot is dropped",
                    "look at the storage and at this machine's disk",
                )
            )

    async def _want_slot(self, sight: Sight) -> None:
        """Make the slot anew once the storage has nearly all: the disk is not in danger any more."""
        if sight.slot is not None:
            await self._server.drop_slot()
        shipper = self.current
        if shipper is None or shipper.tip is None or self.pace.well(self._clock.monotonic()) == 0:
            return
        if sight.flushed - shipper.tip < TOO_MUCH * self.settings.most_retained:
            await self._server.make_slot()
            self.state.slot_dropped = False
            await self._alarms.clear(SLOT, "the server keeps its log for us again")

    async def _drop_slot(self, sight: Sight) -> None:
        await self._server.drop_slot()
        self.state.slot_dropped = True
        await self._alarms.say(
            Alarm(
                SLOT,
                Severity.CRITICAL,
                f"The log of {self.database} is not kept by its server any more",
                f"{format_size(sight.retained)} were waiting for us, {format_size(self.settings.most_retained)} are "
                "allowed: the slot was dropped, so that the server's disk does not fill",
                "make the storage and the stream work; the slot comes back by itself, with a base backup if need be",
            )
        )

    # Markers

    async def _mark(self) -> None:
        dsn = self._ports.dsn(self.database)
        while True:
            try:
                await mark(dsn)
                await self._alarms.clear(MARKERS, "marker rows are written")
            except TimeoutError:
                logger.warning("no marker row in %s: it does not answer", self.database)
            except PostgresError as fault:
                if "permission denied" in str(fault):
                    await self._alarms.say(unmarked(self.database, fault))
                logger.warning("no marker row in %s: %s", self.database, fault)
            await self._clock.sleep(self.settings.markers)
