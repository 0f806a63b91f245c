"""MariaDB: dumped by its own program, loaded into a throwaway server, every table compared."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.backup.data.base import DataError, Unprovable
from mainstay.backup.data.mysql import DUMP, MysqlData, _complaint, _filled, _within
from mainstay.backup.data.mysql_client import MysqlFault
from mainstay.backup.data.mysql_sandbox import mysql_sandbox
from mainstay.core.errors import MainstayError
from mainstay.core.secret import SecretUrl
from mainstay.store.backups import BackupState
from tests.backup.data.room import Room, equal, flip
from tests.servers import mariadb
from tests.servers.authority import Authority
from tests.servers.mariadb import MariaDB
from tests.servers.process import LOOPBACK

SHOP = r"""
CREATE TABLE customer (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(80) CHARACTER SET latin1, born DATE,
  balance DECIMAL(20,4), score DOUBLE, data LONGBLOB, flag BIT(5), seen TIMESTAMP NULL, kind ENUM('a','b'), doc JSON,
  whole VARCHAR(100) AS (CONCAT(name, '!')) VIRTUAL) DEFAULT CHARSET utf8mb4;
INSERT INTO customer (name, born, balance, score, data, flag, seen, kind, doc) VALUES
  ('Jos\u00e9', '1815-12-10', 12.5, 0.1, 0x00FF0A5C275C6E, b'10101', '2026-01-01 00:00:00', 'a', '{"n": 1}'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('tab\tnew\nline', NULL, -0.0001, 1e300, '', b'0', NULL, 'b', '[]');
CREATE TABLE `odd ``"name` (`a b` INT, `c"d` TEXT);
INSERT INTO `odd ``"name` VALUES (1, '\\! touch /tmp/mainstay-was-here'), (1, '\\! touch /tmp/mainstay-was-here');
CREATE TABLE sale (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, FOREIGN KEY (customer) REFERENCES customer (id));
INSERT INTO sale (customer) SELECT 1 + seq % 3 FROM seq_1_to_2000;
CREATE TABLE nothing (x INT);
CREATE VIEW rich AS SELECT * FROM customer WHERE balance > 10;
CREATE TRIGGER watch BEFORE INSERT ON sale FOR EACH ROW SET NEW.customer = COALESCE(NEW.customer, 1);
DELIMITER //
CREATE PROCEDURE greet() BEGIN SELECT 'hello; world'; END //
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM nothing //
DELIMITER ;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    yield from mariadb.serve()


@pytest.fixture
def shop(server: MariaDB) -> str:
    name = server.database()
    server.run(SHOP.replace(r"\u00e9", "\u00e9"), name)
    return name


def secret(url: str) -> SecretUrl:
    return SecretUrl("mysql_url", url)


async def test_a_database_is_taken_proven_and_restored(room: Room, server: MariaDB, shop: str) -> None:
    room.set(MysqlData, url=secret(server.url(shop)))
    run = room.house.run()
    outcome = await room.backup(run)
    assert outcome.data["proven"] is True, run.said
    backup = await room.house.get(outcome.data["backup"])
    assert (backup.tables, backup.rows) == (4, 2005)
    assert mariadb.PASSWORD not in run.said
    assert [name for name in room.house.files() if "scratch" in name] == []
    server.run(f"GRANT ALL ON {shop}_back.* TO root_too IDENTIFIED BY 'x'; GRANT SUPER ON *.* TO root_too")
    into = server.url(f"{shop}_back", "x", "root_too")
    done = await room.restore(backup, into)
    assert equal(done.judgement)
    assert server.run("SELECT name FROM customer WHERE id = 1", f"{shop}_back") == "José"
    assert server.run("CALL greet()", f"{shop}_back") == "hello; world"
    with pytest.raises(MainstayError, match="is not empty: it has"):
        await room.restore(backup, into, replace=True)


async def test_a_flipped_bit_is_found(room: Room, server: MariaDB, shop: str) -> None:
    room.set(MysqlData, url=secret(server.url(shop)), rules={"prove": "0 4 * * 0"})
    await room.backup()
    backup = await room.newest()
    flip(room.object(backup, DUMP))
    assert (await room.house.prove(backup)).verdict is BackupState.FAILED


async def test_a_value_that_is_another_in_the_copy_is_found(room: Room, server: MariaDB, shop: str) -> None:
    from mainstay.backup.data.mysql import _compared
    from mainstay.backup.data.mysql_client import Server

    room.set(MysqlData, url=secret(server.url(shop)), rules={"prove": "0 4 * * 0"})
    await room.backup()
    manifest = room.manifest(await room.newest())
    folder = room.house.directory / "look"
    Path(folder).mkdir()
    there = Server.of(server.url(shop), folder)
    assert equal(await _compared(manifest, there, None))
    server.run("UPDATE customer SET score = score * (1 + 1e-15) WHERE id = 1; DROP VIEW rich", shop)
    judgement = await _compared(manifest, there, None)
    assert [each.what for each in judgement.differences] == ["views", "customer"]


async def test_what_is_written_meanwhile_is_counted_and_what_has_no_snapshot_is_named(
    room: Room, server: MariaDB, shop: str
) -> None:
    server.run("CREATE TABLE old (x INT) ENGINE=Aria; INSERT INTO old VALUES (1)", shop)
    stop, writing = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            server.run("INSERT INTO sale (customer) VALUES (1), (2)", shop)
            writing.set()

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    try:
        room.set(MysqlData, url=secret(server.url(shop)))
        outcome = await room.backup()
    finally:
        stop.set()
        thread.join()
    assert outcome.data["verdict"] == "partial"
    backup = await room.newest()
    assert room.manifest(backup).unproven == {"table old": "its engine Aria is not dumped as of one moment"}
    assert "1 of them changed meanwhile" in room.manifest(backup).said
    proof = await room.proof(backup)
    assert proof.detail["unproven"] == room.manifest(backup).unproven


async def test_a_wrong_password_is_said_and_never_shown(room: Room, server: MariaDB, shop: str) -> None:
    room.set(MysqlData, url=secret(server.url(shop, "wr0ng-horse")))
    with pytest.raises(MysqlFault, match="Access denied") as fault:
        await room.backup()
    assert "wr0ng-horse" not in str(fault.value)
    assert await room.house.all() == []


async def test_an_empty_database_may_be_the_wrong_one(room: Room, server: MariaDB) -> None:
    room.set(MysqlData, url=secret(server.url(server.database())))
    with pytest.raises(DataError, match="there is no table"):
        await room.backup()


async def test_without_a_server_program_it_is_unproven_and_says_why(
    room: Room, server: MariaDB, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mainstay.backup.data import mysql_sandbox
    from mainstay.backup.data.mysql_client import program

    room.set(MysqlData, url=secret(server.url(shop)))
    monkeypatch.setattr(
        mysql_sandbox, "program", lambda *names, package: program("not-there", package=package)
    )
    outcome = await room.backup()
    assert outcome.data["verdict"] == "taken"
    assert "unproven because there is no not-there" in outcome.summary


async def test_a_port_is_another_server_than_the_socket(room: Room, server: MariaDB, shop: str) -> None:
    """MariaDB's programs take `localhost` for the socket of whatever server has it, with any port."""
    url = secret(server.url(shop).replace(LOOPBACK, "localhost"))
    room.set(MysqlData, url=url)
    assert "MariaDB" in await room.house.ports.data["stuff"].examine()


async def test_an_authority_is_asked_for(room: Room, server: MariaDB, shop: str, tmp_path: Path) -> None:
    """A server that shows no certificate, or somebody else's, is not the one that was meant."""
    authority = Authority(tmp_path)
    room.set(MysqlData, url=secret(server.url(shop)), ca=authority.ca)
    with pytest.raises(MysqlFault, match="SSL"):
        await room.house.ports.data["stuff"].examine()


async def test_a_database_that_only_its_letters_tell_apart_is_not_filled_twice(room: Room) -> None:
    with room.house.ports.scratch.workspace() as space:
        async with mysql_sandbox(space, "1") as there:
            await there.ask('CREATE DATABASE "Shop"', 'CREATE TABLE "Shop"."sale" (x INT)', database="")
            assert await there.ask(_filled("Shop"), database="") == [["1"]]
            assert await there.ask(_filled("Shop_back"), database="") == [["0"]]


def test_what_was_lost_is_not_within_what_changed() -> None:
    assert _within("t", 5, 5, 6) == _within("t", 0, 0, 6) == {}
    assert list(_within("t", 0, 5, 6)) == ["table t"]


def test_a_machine_without_room_says_nothing_about_a_dump() -> None:
    assert _complaint("ERROR 1064 at line 3: You have an error in your SQL syntax").startswith("ERROR 1064")
    with pytest.raises(Unprovable, match="could not be loaded"):
        _complaint('ERROR 3 at line 9: Error writing file (Errcode: 28 "No space left on device")')
