"""A password stays where it belongs: not in what `ps` shows, not in a log, not in a file that is kept."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from mainstay.core.secret import redact
from tests.backup.house import House, execute
from tests.backup.test_faults import PASSWORD, locked, with_password

__all__ = ["locked"]


class Spy:
    """Asks `ps` again and again, with the environments of our own processes, until it is stopped."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self) -> None:
        while not self.stop.is_set():
            listing = subprocess.run(
                ["ps", "axeww", "-o", "args"], capture_output=True, text=True, check=True
            )
            self.seen.update(
                line for line in listing.stdout.splitlines() if "pg_" in line or "postgres" in line
            )

    def told(self) -> str:
        self.stop.set()
        self.thread.join()
        return "\n".join(self.seen)


@pytest.mark.parametrize("form", ["url", "words"])
async def test_the_password_is_nowhere_to_be_seen(
    house: House, shop: str, locked: str, form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    execute(
        shop,
        "INSERT INTO sale (customer, amount, note) SELECT 1, 1, repeat('x', 500) FROM generate_series(1, 20000)",
    )
    dsn = with_password(locked, shop, PASSWORD)
    if form == "words":
        user, _, place = dsn.removeprefix("postgresql://").partition("@")
        host, _, name = place.partition("/")
        assert user == f"odoo:{PASSWORD}"
        dsn = f"host=127.0.0.1 port={host.rpartition(':')[2]} user=odoo password='{PASSWORD}' dbname={name}"
    house.database("shop", dsn)
    run = house.run()
    spy = Spy()
    outcome = await house.backup(run=run)
    seen = spy.told()
    assert outcome.data["proven"] is True
    for program in ("pg_dump", "pg_restore"):
        assert f"/{program}" in seen  # the spy was awake
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".zst"]
    for text in (
        seen,
        run.said,
        caplog.text,
        str(outcome),
        *(data.decode(errors="replace") for data in kept),
    ):
        assert PASSWORD not in text
    assert redact(f"password {PASSWORD}") == "password ********"


async def test_the_roles_of_a_superuser_keep_their_passwords_and_others_do_not(
    house: House, shop: str, locked: str
) -> None:
    import zstandard

    async def roles() -> str:
        backup = await house.take()
        data = house.file(backup, "globals.sql.zst").read_bytes()
        return zstandard.ZstdDecompressor().decompressobj().decompress(data).decode()

    assert "SCRAM-SHA-256$" in await roles()
    house.database("shop", with_password(locked, shop, PASSWORD))
    text = await roles()
    assert "CREATE ROLE odoo" in text
    assert "SCRAM-SHA-256$" not in text
