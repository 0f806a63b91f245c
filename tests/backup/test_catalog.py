"""The journal and the storage agree, whoever was killed, lost or deleted meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mainstay.backup.catalog import adopt, forget, retention, survey
from mainstay.backup.jobs import BackupPostgres
from mainstay.core.errors import MainstayError
from mainstay.engine.queue import cancel, enqueue
from mainstay.ports.objects.base import chunked
from mainstay.store import backups
from mainstay.store.backups import BackupState
from mainstay.store.open import open_store
from tests.backup.house import House

DAY = 86400.0


async def lay(house: House, path: str, age: float) -> None:
    """An object of a certain age."""
    await house.vault.put(path, chunked(b"half a dump"))
    when = house.clock.now() - age
    os.utime(house.vault.path / path, (when, when))


async def test_leftovers_of_ended_and_of_forgotten_runs_are_swept(house: House) -> None:
    now = house.clock.now()
    live = await house.ports.store.write(lambda tx: enqueue(tx, "backup:shop", key="1", due_at=now, now=now))
    ended = await house.ports.store.write(lambda tx: enqueue(tx, "backup:shop", key="2", due_at=now, now=now))
    await house.ports.store.write(lambda tx: cancel(tx, ended.id, now=now))
    await lay(house, f"shop/20260101T000000Z-{live.id}/dump.pgc.zst", 40 * DAY)
    await lay(house, f"shop/20260101T000000Z-{ended.id}/dump.pgc.zst", 0)
    await lay(house, "shop/20260101T000000Z-unknown1/dump.pgc.zst", 2 * DAY)
    await lay(house, "shop/20260101T000000Z-unknown2/dump.pgc.zst", 0.5 * DAY)
    await lay(house, "shop-2/20260101T000000Z-unknown3/dump.pgc.zst", 40 * DAY)
    backup = await house.take()
    left = {name.split("/")[2].rpartition("-")[2] for name in house.files() if name.startswith("vault/shop/")}
    assert left == {live.id, "unknown2", backup.run}
    assert any("unknown3" in name for name in house.files())


async def test_a_journal_that_was_lost_is_made_again(house: House, tmp_path: Path) -> None:
    first = await house.get((await house.backup()).data["backup"])
    house.clock.step(DAY)
    second = await house.get((await house.backup()).data["backup"])
    (house.vault.path / "shop/junk").mkdir()
    (house.vault.path / "shop/junk/manifest.json").write_text("not a manifest")
    fresh = await open_store(f"sqlite:///{tmp_path}/second.db", house.clock)
    object.__setattr__(house.ports, "store", fresh)
    try:
        found = await adopt(house.ports, "shop", "vault")
        assert [each.id for each in found] == [first.id, second.id]
        assert await adopt(house.ports, "shop", "vault") == []
        for each, before in zip(found, (first, second), strict=True):
            assert each.state is BackupState.TAKEN
            assert (each.rows, each.manifest, each.path) == (before.rows, before.manifest, before.path)
        assert (await house.prove(second)).verdict is BackupState.PROVEN
    finally:
        await fresh.close()


async def test_a_backup_that_somebody_deleted_protects_nothing(house: House) -> None:
    first = await house.get((await house.backup()).data["backup"])
    for file in (house.vault.path / first.path).iterdir():
        file.unlink()
    house.clock.step(DAY)
    run = house.run()
    await house.backup(run=run)
    assert f"MISSING {first.id}" in run.said
    assert (await house.get(first.id)).state is BackupState.FAILED
    plan, present = await retention(house.ports, "shop", "vault")
    assert first.id not in plan.keep
    assert first.id not in present


async def test_old_backups_go_in_a_run_and_their_objects_with_them(house: House, shop: str) -> None:
    house.database("shop", shop, keep={"daily": 2, "monthly": 0})
    made = []
    for _ in range(3):
        made.append(await house.get((await house.backup()).data["backup"]))
        house.clock.step(1.5 * DAY)
    run = house.run()
    outcome = await house.backup(run=run)
    assert outcome.data["deleted"] == 1
    assert [f"deleted {each.id} from vault" in run.said for each in made] == [False, True, False]
    assert {place.run for place in await survey(house.vault, "shop")} == {made[2].run, run.id}
    assert (await house.get(made[0].id)).deleted_at == house.clock.now() - 1.5 * DAY
    assert (await house.get(made[1].id)).deleted_at == house.clock.now()
    assert len(await house.all()) == 2


async def test_the_last_proven_one_cannot_be_deleted_by_hand(house: House) -> None:
    first = await house.get((await house.backup()).data["backup"])
    with pytest.raises(MainstayError, match="the last proven backup of shop in vault"):
        await forget(house.ports, first.id)
    second = await house.take()
    await forget(house.ports, second.id)
    assert [each.id for each in await house.all()] == [first.id]
    for gone in (second.id, "nonsense"):
        with pytest.raises(MainstayError, match="there is no backup"):
            await forget(house.ports, gone)


async def test_a_place_with_an_odd_name_is_its_own(house: House, shop: str) -> None:
    for name in ("a/b", "..", "ü x"):
        house.database(name, shop)
        backup = await house.take(name)
        assert backup.database == name
        assert backup.path.count("/") == 1
        assert [place.path for place in await survey(house.vault, name)] == [backup.path]


async def test_the_journal_knows_the_last_proof(house: House) -> None:
    outcome = await house.backup()
    proof = await house.ports.store.read(lambda tx: backups.last_proof(tx, "shop"))
    assert proof is not None
    assert (proof.backup, proof.rows) == (outcome.data["backup"], 3300)
    assert await house.ports.store.read(lambda tx: backups.last_proof(tx, "other")) is None
    assert await house.ports.store.read(lambda tx: backups.latest(tx, "shop", "elsewhere")) is None
    assert BackupPostgres.steps == ("check", "take", "copy", "prove", "retain", "rest")
