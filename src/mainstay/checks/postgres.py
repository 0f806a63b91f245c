"""Does PostgreSQL answer, with room for more clients and replicas that keep up?"""

import os
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from mainstay.checks.conditions import Condition, Expecting, show
from mainstay.checks.dial import Trail
from mainstay.checks.faults import bounded
from mainstay.checks.percent import Percent, in_order, share
from mainstay.core.check import Answer, Check, Place
from mainstay.core.secret import SecretUrl, redact
from mainstay.core.units import Duration, format_duration
from mainstay.engine.guard import OWN_TROUBLE

if TYPE_CHECKING:
    import psycopg

# pg_stat_activity hides other users' rows from plain accounts; pg_stat_database counts for everybody.
STATE = """
SELECT current_setting('server_version'),
       pg_is_in_recovery(),
       (SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""
# An idle primary sends nothing to replay, so a replica that has replayed all it received has no lag.
LAG_OF_REPLICA = """
SELECT CASE WHEN pg_last_wal_receive_lsn() IS NOT DISTINCT FROM pg_last_wal_replay_lsn() THEN 0.0
            ELSE extract(epoch FROM clock_timestamp()
                         - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) END::float8
"""
LAG_OF_PRIMARY = """
SELECT coalesce(max(extract(epoch FROM replay_lag)), 0.0)::float8, count(*)::int FROM pg_stat_replication
"""


class PostgresCheck(Check, type="postgres", shorthand="dsn"):
    """Logs in to a PostgreSQL on a new connection and asks it for its state; everything runs read-only.

    Facts: `version`, `role` (primary or replica), `connections` and `connections_limit`, `replicas` and
    `replication_lag` in seconds where `max_replication_lag` is set, and `value` where `query` is set.
    """

    dsn: SecretUrl = Field(examples=["postgresql://monitor@localhost/erp"])
    """Connection URL or string. With a password it belongs outside the file: `{secret: NAME}`."""
    connections_warn: Percent = 80.0
    """Warn from this share of the connections that plain accounts may use."""
    connections_fail: Percent = 95.0
    """Fail from this share."""
    max_replication_lag: Duration | None = None
    """Fail when a replica is further behind: this server, if it is one, else the slowest of those connected to it."""
    replicas: int = Field(default=0, ge=0)
    """Fail when fewer replicas are connected to this primary."""
    query: str | None = None
    """A query that gives one value, to be compared with `expect`."""
    expect: Annotated[Condition | None, Expecting] = None
    """What the value must be: a plain value, or a comparison like `< 100`."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        in_order(self, "connections_warn", "connections_fail")
        if (self.query is None) != (self.expect is None):
            raise ValueError(
                "query and expect belong together: query: SELECT count(*) FROM job, expect: '< 100'"
            )
        return self

    def host(self) -> str | None:
        host = self._options().get("host")
        return None if host is None or host.startswith("/") else host.partition(",")[0]

    def target(self) -> str:
        options = self._options()
        return f"{options.get('host', 'localhost')}:{options.get('port', 5432)}/{options.get('dbname', '')}".rstrip(
            "/"
        )

    def _options(self) -> dict[str, Any]:
        import psycopg

        try:
            return psycopg.conninfo.conninfo_to_dict(self.dsn.reveal())
        except (LookupError, psycopg.Error):
            return {}

    async def probe(self, place: Place) -> Answer:
        trail = Trail(self.target())
        return await bounded(self._ask(place, trail), self.timeout, trail)

    async def _ask(self, place: Place, trail: Trail) -> Answer:
        import psycopg

        began = place.monotonic()
        try:
            connection = await self._connect(place, trail)
            try:
                facts = await trail.time(place, "first_byte", self._look(connection))
            finally:
                await connection.close()
        except psycopg.Error as fault:
            return _explain(fault)
        said = f"answers in {format_duration(place.monotonic() - began)}"
        return self._judge(said, facts | trail.phases)

    async def _connect(self, place: Place, trail: Trail) -> "psycopg.AsyncConnection[tuple[Any, ...]]":
        import psycopg

        options: dict[str, Any] = dict(psycopg.conninfo.conninfo_to_dict(self.dsn.reveal()))
        options |= await trail.time(place, "dns", _resolved(place, options))
        options.setdefault("application_name", "mainstay")
        conninfo = psycopg.conninfo.make_conninfo(**options)
        opening = psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        return await trail.time(place, "connect", opening)

    async def _look(self, connection: "psycopg.AsyncConnection[tuple[Any, ...]]") -> dict[str, Any]:
        # A pooler may hand the session on to others: nothing may be set for longer than this transaction.
        await connection.execute("BEGIN READ ONLY")
        await connection.execute(f"SET LOCAL statement_timeout = {max(1, int(self.timeout * 1000))}")
        version, replica, used, limit = await _row(connection, STATE)
        facts = {"version": version, "role": "replica" if replica else "primary"}
        facts |= {"connections": used, "connections_limit": limit}
        if self.max_replication_lag is not None or self.replicas:
            facts |= await _replication(connection, replica)
        if self.query is not None:
            facts["value"] = _plain((await _row(connection, self.query))[0])
        await connection.execute("ROLLBACK")
        return facts

    def _judge(self, said: str, facts: dict[str, Any]) -> Answer:
        lag, behind = facts.get("replication_lag"), self.max_replication_lag
        if self.expect is not None and not self.expect.holds(facts["value"]):
            detail = f"the query gives {show(facts['value'])}, expected {self.expect}"
            return Answer.fail(detail, cause="answer", **facts)
        if lag is not None and behind is not None and lag > behind:
            detail = (
                f"replication is {format_duration(lag)} behind, at most {format_duration(behind)} is fine"
            )
            return Answer.fail(detail, cause="lag", **facts)
        if facts["role"] == "primary" and facts.get("replicas", self.replicas) < self.replicas:
            detail = f"{facts['replicas']} replicas are connected, expected at least {self.replicas}"
            return Answer.fail(detail, cause="lag", **facts)
        percent = share(facts["connections"], facts["connections_limit"])
        used = f"{facts['connections']} of {facts['connections_limit']} connections are in use ({percent:g}%)"
        if percent >= self.connections_fail:
            return Answer.fail(used, cause="full", **facts)
        if percent >= self.connections_warn:
            return Answer.warn(used, **facts)
        return Answer.ok(f"{said}, {used}", **facts)


async def _resolved(place: Place, options: dict[str, Any]) -> dict[str, str]:
    """Look the hosts up ourselves: libpq would do it in its own way and time."""
    hosts = str(options.get("host") or "").split(",")
    if (
        options.get("hostaddr")
        or options.get("service")
        or any(not host or host.startswith("/") for host in hosts)
    ):
        return {}
    ports = str(options.get("port") or "5432").split(",")
    found = [
        (host, address, port or "5432")
        for host, port in zip(hosts, ports * (len(hosts) if len(ports) == 1 else 1), strict=True)
        for address in await place.resolve(host, int(port or 5432))
    ]
    names = ("host", "hostaddr", "port")
    return {name: ",".join(column) for name, column in zip(names, zip(*found, strict=True), strict=True)}


async def _row(connection: "psycopg.AsyncConnection[tuple[Any, ...]]", query: str) -> tuple[Any, ...]:
    cursor = await connection.execute(query.encode())
    row = await cursor.fetchone() if cursor.description else None
    return row or (None,)


async def _replication(
    connection: "psycopg.AsyncConnection[tuple[Any, ...]]", replica: bool
) -> dict[str, Any]:
    if replica:
        return {"replication_lag": (await _row(connection, LAG_OF_REPLICA))[0]}
    lag, count = await _row(connection, LAG_OF_PRIMARY)
    return {"replication_lag": lag, "replicas": count}


def _plain(value: Any) -> Any:
    """Give numbers as numbers and everything else that JSON does not know as text."""
    from decimal import Decimal

    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _explain(fault: "psycopg.Error") -> Answer:
    text = redact(str(fault).strip())
    for number, reason in OWN_TROUBLE.items():
        if os.strerror(number) in text and number not in (1, 13):
            return Answer.unknown(f"could not ask: {reason}", cause="own")
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(fault).__name__]
    detail = lines[0].removeprefix("connection failed: ")
    return Answer.fail(detail, cause="refused" if fault.sqlstate is None else "answer")
