"""The main job: a backup is taken, restored, compared; the journal and the storage agree."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from mainstay.backup.jobs import ProveBackup
from mainstay.backup.ports import BackupPorts
from mainstay.core.job import JobFailed
from mainstay.ports.objects import StorageError
from mainstay.ports.objects.directory import Directory
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState, Proof
from tests.backup.house import House, Run
from tests.servers.postgres import PostgresServer


async def test_a_backup_is_taken_and_proven(house: House) -> None:
    run = house.run()
    outcome = await house.backup(run=run)
    assert outcome.data["proven"] is True
    assert (outcome.data["tables"], outcome.data["rows"]) == (2, 3300)
    backup = await house.get(outcome.data["backup"])
    assert backup.state is BackupState.PROVEN
    assert (backup.tables, backup.rows, backup.run) == (2, 3300, run.id)
    assert sorted(path.name for path in (house.vault.path / backup.path).iterdir()) == [
        "dump.pgc.zst",
        "globals.sql.zst",
        "manifest.json",
    ]
    assert backup.bytes == sum(
        house.file(backup, n).stat().st_size for n in ("dump.pgc.zst", "globals.sql.zst")
    )
    (proof,) = await house.ports.store.read(lambda tx: backups.proofs(tx, backup.id))
    assert (proof.verdict, proof.tables, proof.rows) == (BackupState.PROVEN, 2, 3300)
    assert house.files() == [
        f"vault/{backup.path}/{n}" for n in ("dump.pgc.zst", "globals.sql.zst", "manifest.json")
    ]


async def test_progress_is_told_in_bytes_and_tables(house: House) -> None:
    run = house.run()
    await house.backup(run=run)
    labels = [label for label, *_ in run.marks]
    assert list(dict.fromkeys(labels)) == ["dumping", "fetching", "restoring", "comparing"]
    for label in set(labels):
        last = [mark for mark in run.marks if mark[0] == label][-1]
        assert last[1] == last[2] or label == "dumping"
        assert last[1] > 0


async def test_a_backup_waits_for_its_proof_when_proofs_have_their_own_time(house: House) -> None:
    backup = await house.take()
    assert backup.state is BackupState.TAKEN
    outcome = await house.prove_job()
    assert outcome.data["backup"] == backup.id
    assert (await house.get(backup.id)).state is BackupState.PROVEN


async def test_a_failed_proof_is_a_failure_that_is_not_tried_again(house: House) -> None:
    backup = await house.take()
    file = house.file(backup)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(JobFailed, match=r"dump\.pgc\.zst in directory .* was changed") as failure:
        await house.prove_job()
    assert not failure.value.retry
    assert (await house.get(backup.id)).state is BackupState.FAILED
    (proof,) = await house.ports.store.read(lambda tx: backups.proofs(tx, backup.id))
    assert proof.verdict is BackupState.FAILED


async def test_there_is_nothing_to_prove(house: House) -> None:
    with pytest.raises(JobFailed, match="there is no backup of shop"):
        await house.prove_job()
    with pytest.raises(JobFailed, match="there is no backup nonsense"):
        await house.prove_job(backup="nonsense")


async def test_an_empty_database_is_backed_up_and_proven(empty_house: House) -> None:
    outcome = await empty_house.backup()
    assert (outcome.data["proven"], outcome.data["tables"], outcome.data["rows"]) == (True, 0, 0)


async def test_one_database_failing_does_not_touch_the_other(house: House, postgres: PostgresServer) -> None:
    house.database("gone", postgres.dsn("there_is_no_such_database"))
    with pytest.raises(Exception, match="there_is_no_such_database"):
        await house.backup("gone")
    assert (await house.backup()).data["proven"] is True


async def test_the_system_s_server_is_dumped_by_its_own_programs(house: House, debian_shop: str) -> None:
    house.database("shop", debian_shop)
    outcome = await house.backup()
    assert outcome.data["proven"] is True
    manifest = house.manifest(await house.get(outcome.data["backup"]))
    assert manifest.pg_dump_major == manifest.server.major
    assert "(system)" in manifest.pg_dump


async def test_the_manifest_says_what_is_in_the_backup(house: House) -> None:
    backup = await house.take()
    text = json.loads(house.file(backup, "manifest.json").read_text())
    assert text["tables"]["public.customer"]["rows"] == 300
    assert text["schema_"]["parts"]["relation"]["public.total"].startswith("view")
    assert text["schema_"]["parts"]["index"]["public.sale_customer"] == "btree on sale (customer)"
    assert text["sequences"]["public.customer_id_seq"] == "300"
    assert text["server"]["lsn"].count("/") == 1


async def test_several_storages_get_the_same_bytes(house: House) -> None:
    second = house.vault.model_copy(update={"path": house.directory / "second"})
    house.storage("second", second)
    house.database("shop", house.ports.database("shop").dsn.reveal(), to=["vault", "second"])
    outcome = await house.backup()
    both = await house.all()
    assert [backup.state for backup in both] == [BackupState.PROVEN] * 2
    assert {backup.storage for backup in both} == {"vault", "second"}
    for backup in both:
        path = (house.vault if backup.storage == "vault" else second).path / backup.path
        assert (path / "dump.pgc.zst").read_bytes() == house.file(both[0]).read_bytes()
    assert outcome.data["proven"] is True


async def test_one_storage_refusing_is_told_and_the_other_keeps_its_backup(house: House) -> None:
    blocked = house.directory / "blocked"
    blocked.write_text("a file, where a directory should be")
    house.storage("blocked", house.vault.model_copy(update={"path": blocked}))
    house.database("shop", house.ports.database("shop").dsn.reveal(), to=["vault", "blocked"])
    run = house.run()
    with pytest.raises(
        JobFailed, match="shop is backed up in vault, but not in blocked: directory"
    ) as failure:
        await house.backup(run=run)
    assert failure.value.retry
    (backup,) = await house.all()
    assert backup.state is BackupState.PROVEN
    assert "blocked is left out" in run.said
    blocked.unlink()
    await house.backup(run=run)  # tried again
    assert {each.storage: each.state for each in await house.all()} == dict.fromkeys(
        ("vault", "blocked"), BackupState.PROVEN
    )


async def test_a_copy_that_fails_is_told_and_the_backup_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, third = (
        house.vault.model_copy(update={"path": house.directory / name}) for name in ("broken", "third")
    )
    house.storage("broken", broken)
    house.storage("third", third)
    house.database("shop", house.ports.database("shop").dsn.reveal(), to=["vault", "broken", "third"])
    write = Directory.write

    async def fails(self: Directory, path: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        if self.path.name == "broken" and path.endswith("globals.sql.zst"):
            raise StorageError("the disk is on fire")
        await write(self, path, chunks, expect)

    monkeypatch.setattr(Directory, "write", fails)
    run = house.run()
    with pytest.raises(
        JobFailed, match="backed up in vault, third, but not in broken: the disk is on fire"
    ) as failure:
        await house.backup(run=run)
    assert failure.value.retry
    assert {backup.storage for backup in await house.all()} == {"vault", "third"}
    monkeypatch.setattr(Directory, "write", write)
    outcome = await house.backup(run=run)  # tried again: only the copy is missing
    assert outcome.data["proven"] is True
    assert {backup.storage: backup.state for backup in await house.all()} == dict.fromkeys(
        ("vault", "broken", "third"), BackupState.PROVEN
    )


async def test_a_backup_that_is_stopped_leaves_nothing(house: House) -> None:
    for label in ("dumping", "fetching", "restoring", "comparing"):
        run = house.run()
        reached = asyncio.Event()

        def watch(name: str, wanted: str = label, seen: asyncio.Event = reached) -> None:
            if name == wanted:
                seen.set()

        run.on_progress = watch
        job = asyncio.create_task(house.backup(run=run))
        await reached.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert [name for name in house.files() if name.startswith("scratch") or name.endswith(".part")] == []


async def test_only_the_rows_of_an_excluded_table_are_left_out(house: House, shop: str) -> None:
    house.database("shop", shop, exclude=["public.sale"])
    outcome = await house.backup()
    backup = await house.get(outcome.data["backup"])
    assert (backup.rows, outcome.data["proven"]) == (300, True)
    manifest = house.manifest(backup)
    assert manifest.skipped == {"public.sale": "excluded in the configuration"}
    assert "public.sale" in manifest.schema_.parts["relation"]


async def test_it_is_proven_from_a_storage_that_can_be_read(house: House) -> None:
    house.storage("vault", house.vault.model_copy(update={"write_only": True}))
    house.storage("second", house.vault.model_copy(update={"path": house.directory / "second"}))
    house.database("shop", house.ports.database("shop").dsn.reveal(), to=["second", "vault"])
    assert (await house.backup()).data["proven"] is True
    states = {each.storage: each.state for each in await house.all()}
    # Nobody has seen what became of the one that may only be written.
    assert states == {"second": BackupState.PROVEN, "vault": BackupState.TAKEN}


async def test_a_storage_that_fails_at_the_end_keeps_no_other_from_its_retention(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.storage("second", house.vault.model_copy(update={"path": house.directory / "second"}))
    url = house.ports.database("shop").dsn.reveal()
    house.database("shop", url, to=["vault", "second"], keep={"daily": 1, "monthly": 0})
    await house.backup()
    house.clock.step(3 * 86400)
    remove = Directory.remove

    async def fails(self: Directory, name: str) -> None:
        if self.path.name == "vault" and name.startswith("shop/"):
            raise StorageError("the disk is on fire")
        await remove(self, name)

    monkeypatch.setattr(Directory, "remove", fails)
    run = house.run()
    with pytest.raises(
        JobFailed, match="backed up in vault, second, but something is wrong with vault: the disk"
    ):
        await house.backup(run=run)
    assert [each.storage for each in await house.all()].count("second") == 1
    monkeypatch.undo()
    assert (await house.backup(run=run)).data["proven"] is True
    assert sorted(each.storage for each in await house.all()) == ["second", "vault"]


async def test_what_does_not_fit_into_the_budget_is_proven_first_next_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.storage("second", house.vault.model_copy(update={"path": house.directory / "second"}))
    url = house.ports.database("shop").dsn.reveal()
    house.database("shop", url, to=["vault", "second"], prove="0 4 * * 0", prove_budget="1m")
    await house.backup()
    proven: list[str] = []

    async def slow(run: Run, ports: BackupPorts, backup: Backup) -> Proof:
        proven.append(backup.storage)
        await house.clock.advance(50.0)
        return Proof(
            f"p{len(proven)}", backup.id, house.clock.now(), BackupState.PROVEN, "equal", 50.0, 2, 3300,
            {"differences": []}, run.id,
        )  # fmt: skip

    monkeypatch.setattr(house.clock, "busy", contextlib.nullcontext)
    monkeypatch.setattr("mainstay.backup.jobs.prove", slow)
    for _ in range(3):
        run = house.run()
        await ProveBackup(database="shop").run(run)
    assert proven[:2] == ["vault", "second"]  # nobody knew yet how long it takes
    assert proven[2:] == ["vault", "second"]  # then one at a time, in turn
    assert "is left for the next time: no room in 1m" in run.said


async def test_two_backups_at_once_do_not_disturb_each_other(house: House) -> None:
    outcomes = await asyncio.gather(*(house.backup(run=house.run()) for _ in range(2)))
    assert [outcome.data["proven"] for outcome in outcomes] == [True, True]
    assert [each.state for each in await house.all()] == [BackupState.PROVEN] * 2
    assert len(house.files()) == 6
