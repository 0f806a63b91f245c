"""The pages for the worst day: a backup without mainstay, a journal from its copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.docs.page import steps
from tests.docs.shell import Shell
from tests.helpers import ROOT, eventually, mainstay
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port, program

FILE = """
name: example
state_dir: state
services:
  shop: {{checks: [{{postgres: {{dsn: "{dsn}", every: 1s}}}}]}}
databases:
  shop: {{dsn: "{dsn}", backup: {{to: vault, prove: "0 5 * * 0"}}}}
storage:
  vault: {{directory: backups}}
web: {{listen: "127.0.0.1:{web}"}}
"""

SALES = "CREATE TABLE sale AS SELECT n AS id, md5(n::text) AS what FROM generate_series(1, 5000) n"

SYSTEMCTL = """
systemctl() {
  case $1 in
    stop) kill "$(cat up.pid)" && wait "$(cat up.pid)" ;;
    start) mainstay up >>up.log 2>&1 & echo $! >up.pid ;;
  esac
}
"""


@pytest.fixture
def file(directory: Path, debian_postgres: PostgresServer) -> Iterator[Path]:
    """A configuration whose one database has 5,000 sales."""
    with debian_postgres.fresh() as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE sale AS SELECT n AS id, md5(n::text) AS what FROM generate_series(1, 5000) n"
            )
        path = directory / "mainstay.yaml"
        path.write_text(FILE.format(dsn=dsn, web=free_port()))
        yield path


def backups(file: Path) -> list[dict[str, Any]]:
    done = mainstay("backup", "list", "--json", "--config", str(file))
    found: list[dict[str, Any]] = json.loads(done.stdout)["backups"]
    return found


def back_up(file: Path) -> None:
    done = mainstay("backup", "now", "--config", str(file))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_backup_is_restored_without_mainstay(
    file: Path, directory: Path, developed: Shell, debian_postgres: PostgresServer
) -> None:
    program("zstd", "zstd")
    back_up(file)
    page = ROOT / "docs/how-to/restore-without-mainstay.md"
    here = {"/mnt/backups": directory / "backups", "5432": debian_postgres.port, "shop_back": "shop_again"}
    try:
        developed.all(steps(page, here))
        assert debian_postgres.execute(
            "SELECT md5(string_agg(what, '' ORDER BY id)) FROM sale", "shop_again"
        ) == [(sales(file),)]
    finally:
        debian_postgres.drop("shop_again")


def sales(file: Path) -> str:
    """The sum of what was backed up."""
    dsn = file.read_text().partition('dsn: "')[2].partition('"')[0]
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT md5(string_agg(what, '' ORDER BY id)) FROM sale").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_journal_is_restored_from_its_copy(file: Path, directory: Path, developed: Shell) -> None:
    developed.run(
        f"export MAINSTAY_CONFIG={file}\ncd {directory}\n{SYSTEMCTL.replace('up.', f'{directory}/up.')}"
    )
    developed.run("systemctl start mainstay")
    eventually(lambda: mainstay("status", "--config", str(file)).returncode == 0, 30)
    back_up(file)
    assert mainstay("run", "journal_backup", "--config", str(file)).returncode == 0
    back_up(file)
    [newest, copied] = [backup["id"] for backup in backups(file)]
    page = steps(ROOT / "docs/how-to/restore-the-journal.md", {"/var/lib/mainstay": directory / "state"})
    restore, look = (step for step in page if step.language == "sh")
    developed.do(restore)
    eventually(lambda: developed.run(look.text)[0] == 0, 30)
    assert [backup["id"] for backup in backups(file)] == [copied]
    back_up(file)
    # The page promises it: what lies on storage is found again.
    assert {newest, copied} < {backup["id"] for backup in backups(file)}
    developed.run("systemctl stop mainstay")
