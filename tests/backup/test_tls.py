"""A whole backup from a server that takes only TLS, with programs that know none."""

from __future__ import annotations

from mainstay.ports.postgres.tools import Tools
from tests.backup.house import House
from tests.ports.test_postgres_tls import Authority, authority, dsn, server
from tests.servers.postgres import PostgresServer

__all__ = ["authority", "server"]


async def test_a_backup_goes_through_tls(
    house: House, debian_shop: str, server: PostgresServer, authority: Authority
) -> None:
    address = dsn(server, sslmode="verify-full", sslrootcert=str(authority.folder / "ca.crt"))
    from psycopg.conninfo import make_conninfo

    params = {**address.params, "dbname": debian_shop.rpartition("/")[2]}
    house.database("shop", make_conninfo(**params))
    house.tools(Tools(only=("wheel",)))
    outcome = await house.backup()
    assert outcome.data["proven"] is True
    assert "(wheel)" in house.manifest(await house.get(outcome.data["backup"])).pg_dump
