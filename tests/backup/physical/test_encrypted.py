"""The log and the base backups in an encrypted storage: nothing readable lies there, and everything comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from mainstay.core.secret import Secret
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Encryption
from tests.backup.physical.house import physical_house
from tests.backup.physical.started import running
from tests.servers.postgres import PostgresServer


@pytest.mark.slow
async def test_a_server_comes_back_from_an_encrypted_storage(
    tmp_path: Path, primaries: Callable[[], PostgresServer]
) -> None:
    identity = pyrage.x25519.Identity.generate()
    secret = Secret("backup_identity", str(identity))
    encryption = Encryption(recipients=[str(identity.to_public())], identity=secret)
    async with physical_house(tmp_path, primaries()) as house:
        house.storage(Directory(path=tmp_path / "sealed", encrypt=encryption))
        house.server.execute("CREATE TABLE secret_recipe AS SELECT 'a telling text' AS words")
        async with house.streaming() as stream:
            await house.base_backup()
            house.server.execute("INSERT INTO secret_recipe VALUES ('another')")
            house.server.execute("SELECT pg_switch_wal()")
            await house.shipped(stream)
        files = [file for file in (tmp_path / "sealed").rglob("*") if file.is_file()]
        assert len(files) > 3
        for file in files:
            plain = file.name in ("owner.json", "base.json")  # what there is may be seen, not what is in it
            assert plain or file.read_bytes().startswith(b"age-encryption.org/v1"), file
            assert b"telling" not in file.read_bytes()
        restored = await house.restore()
        with running(house.server, restored.data) as connection:
            assert connection.execute("SELECT words FROM secret_recipe").fetchall() == [
                ("a telling text",),
                ("another",),
            ]
