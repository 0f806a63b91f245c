"""Nothing of ours stays on a server that does not work for us any more: it would fill its disk, or hold up commits."""

from mainstay.backup.physical.alarms import KINDS, SLOT, SYNC, Alarm, Alarms
from mainstay.backup.physical.server import Server, name_of
from mainstay.backup.physical.watchdog import waits_for
from mainstay.backup.ports import BackupPorts
from mainstay.core.errors import MainstayError
from mainstay.core.incident import Severity
from mainstay.store import wal

AGAIN = 60.0
"""Seconds until a server is tried again that did not let us."""


async def let_commits_go(server: Server, alarms: Alarms) -> None:
    """Lift a wait that nobody asks for any more: what was synchronous was killed, and is asynchronous now."""
    try:
        await server.wait_for_us(False)
    except MainstayError as fault:
        await alarms.say(
            Alarm(
                SYNC,
                Severity.CRITICAL,
                f"Commits of {alarms.database} wait for mainstay, which is not to be waited for",
                str(fault),
                "ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()",
            )
        )
        raise
    await alarms.clear(SYNC, "commits do not wait for mainstay any more")


async def release(ports: BackupPorts, alarms: Alarms) -> None:
    """Take slot and wait away from a server whose log is not kept any more; try until it is done, or cancelled."""
    for kind in KINDS:
        await alarms.clear(kind, "the log is not kept any more")
    name = name_of(alarms.database)
    while True:
        try:
            return await _release(ports, alarms, name)
        except MainstayError as fault:
            await alarms.say(
                Alarm(
                    SLOT,
                    Severity.CRITICAL,
                    f"The server of {alarms.database} may keep its log for mainstay, which does not fetch it any more",
                    str(fault),
                    f"there: SELECT pg_drop_replication_slot('{name}'), else its disk fills",
                )
            )
        await ports.clock.sleep(AGAIN)


async def _release(ports: BackupPorts, alarms: Alarms, name: str) -> None:
    server = Server(ports.dsn(alarms.database), name)
    try:
        sight = await server.look(synchronous=False)
        if waits_for(sight.names, name):
            await let_commits_go(server, alarms)
        if sight.slot is not None:
            await server.drop_slot()
    finally:
        await server.close()
    await alarms.clear(SLOT, "nothing is kept for mainstay any more")
    await ports.store.write(lambda tx: wal.forget(tx, alarms.database))
