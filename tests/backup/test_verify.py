"""Stored bytes are verified without a restore: all of them, in turn, at a pace, and again after a kill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyrage
import pytest

from mainstay.backup.keeping import PruneBackups, VerifyBackups
from mainstay.core.job import JobFailed, Outcome
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Encryption
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState
from tests.backup.house import House, Run

DAY = 86400.0


async def several(house: House, count: int = 3) -> list[Backup]:
    """Backups of consecutive days, the oldest first."""
    made = []
    for _ in range(count):
        made.append(await house.take())
        house.clock.step(DAY)
    return made


async def verify(house: House, run: Run | None = None, **args: object) -> Outcome:
    return await VerifyBackups(database="shop").run(run or house.run(**args))


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted without an identity"])
@pytest.mark.parametrize("name", ["dump.pgc.zst", "globals.sql.zst", "manifest.json"])
async def test_a_byte_that_flipped_anywhere_is_found(house: House, name: str, encrypted: bool) -> None:
    if encrypted:
        recipient = str(pyrage.x25519.Identity.generate().to_public())
        house.storage("vault", house.vault.model_copy(update={"encrypt": Encryption(recipients=[recipient])}))
        name += ".age"
    backup = await house.take()
    assert (await verify(house)).data["verified"] == 1
    assert (await house.get(backup.id)).verified_at == house.clock.now()
    file = house.vault.path / backup.path / name
    whole = file.read_bytes()
    at = len(whole) // 2
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
    house.clock.step(DAY)
    with pytest.raises(JobFailed, match=rf"1 backups of shop are damaged: {backup.id} in vault") as told:
        await verify(house)
    assert not told.value.retry
    assert (await house.get(backup.id)).state is BackupState.FAILED
    (proof,) = await house.ports.store.read(lambda tx: backups.proofs(tx, backup.id))
    assert "changed" in proof.summary


async def test_what_is_gone_is_found(house: House) -> None:
    backup = await house.take()
    house.file(backup).unlink()
    with pytest.raises(JobFailed, match="damaged"):
        await verify(house)


async def test_a_manifest_that_somebody_replaced_is_found(house: House) -> None:
    backup = await house.take()
    other = house.manifest(backup).model_copy(update={"seconds": 1.0})
    house.file(backup, "manifest.json").write_text(other.seal())
    with pytest.raises(JobFailed, match="damaged"):
        await verify(house)


async def test_a_run_that_was_cut_off_goes_on_where_it_stopped(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await several(house)
    fetch = Directory.fetch
    run, read = house.run(), []

    async def cut(self: Directory, entry, start=0):  # type: ignore[no-untyped-def]
        read.append(entry.path)
        if made[0].path in entry.path and len(set(read)) > 3:
            raise KeyboardInterrupt
        async for chunk in fetch(self, entry, start):
            yield chunk

    monkeypatch.setattr(Directory, "fetch", cut)
    with pytest.raises(KeyboardInterrupt):
        await verify(house, run)
    monkeypatch.undo()
    verified = [each.id for each in await house.all() if each.verified_at]
    assert 0 < len(verified) < 3
    outcome = await verify(house, run)
    assert outcome.data["verified"] == 3 - len(verified)
    assert all(each.verified_at for each in await house.all())


async def test_damage_that_was_found_before_the_kill_is_told_after_it(house: House) -> None:
    first, *_ = await several(house, 2)
    house.file(first).write_bytes(b"nothing")
    run = house.run()
    with pytest.raises(JobFailed, match="1 backups of shop are damaged"):
        await verify(house, run)
    run.kept.clear()
    with pytest.raises(JobFailed, match=f"1 backups of shop are damaged: {first.id}"):
        await verify(house, run)


async def test_it_reads_no_faster_than_it_may(house: House) -> None:
    backup = await house.take()
    size = sum(file.stat().st_size for file in (house.vault.path / backup.path).iterdir())
    manifest = house.file(backup, "manifest.json").stat().st_size
    began = house.clock.monotonic()
    task = asyncio.create_task(verify(house, rate=1000))
    while not task.done():
        await house.clock.advance(0.25)
    assert (await task).data["verified"] == 1
    # The clock runs on while the disk is read: it may take longer, on a busy machine much longer.
    assert house.clock.monotonic() - began >= (size - manifest) / 1000 - 0.5


async def test_one_backup_is_verified_on_request(house: House) -> None:
    first, second = await several(house, 2)
    assert (await verify(house, backup=second.id)).data["verified"] == 1
    assert (await house.get(first.id)).verified_at is None


async def test_a_storage_that_cannot_be_asked_is_no_damage(house: House, tmp_path: Path) -> None:
    backup = await house.take()
    blocked = tmp_path / "file"
    blocked.write_text("")
    house.storage("vault", Directory(path=blocked / "vault"))
    with pytest.raises(JobFailed, match="vault: directory"):
        await verify(house)
    assert (await house.get(backup.id)).state is BackupState.TAKEN


async def test_a_key_for_writing_only_verifies_nothing(house: House) -> None:
    await house.take()
    house.storage("vault", house.vault.model_copy(update={"write_only": True}))
    outcome = await verify(house)
    assert "1 cannot be read from here" in outcome.summary


async def test_pruning_is_a_job_of_its_own(house: House) -> None:
    url = house.ports.database("shop").dsn.reveal()
    for _ in range(4):
        await house.backup()
        house.clock.step(3 * DAY)
    house.database("shop", url, keep={"daily": 1, "monthly": 0})
    run = house.run()
    outcome = await PruneBackups(database="shop").run(run)
    assert (outcome.data["deleted"], len(await house.all())) == (3, 1)


async def test_the_last_proven_one_outlives_every_limit(house: House) -> None:
    url = house.ports.database("shop").dsn.reveal()
    await house.backup()
    (proven,) = await house.all()
    house.clock.step(5 * 366 * DAY)
    house.database(
        "shop", url, keep={"daily": 1, "monthly": 0, "yearly": 0, "space": "1KB"}, prove="0 4 * * 0"
    )
    for _ in range(4):  # taken every night, and never proven since
        await house.backup()
        house.clock.step(3 * DAY)
    assert (await PruneBackups(database="shop").run(house.run())).data["deleted"] == 0
    house.database("shop", url, keep={"daily": 1, "monthly": 0, "yearly": 0, "space": "1KB"})
    assert proven.id in {each.id for each in await house.all()}
    await house.backup()  # proven: now it is the last one, and the old one may go
    assert proven.id not in {each.id for each in await house.all()}


async def test_backups_above_their_space_go_and_the_rest_is_told(house: House) -> None:
    url = house.ports.database("shop").dsn.reveal()
    await house.backup()
    house.clock.step(3 * DAY)
    await house.backup()
    house.database("shop", url, keep={"space": "1KB"})
    run = house.run()
    assert (await PruneBackups(database="shop").run(run)).data["deleted"] == 1
    assert "vault holds" in run.said
