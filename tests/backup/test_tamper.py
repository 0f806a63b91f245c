"""Whatever is done to a backup, its proof says so: to its bytes, behind its hashes, to what comes out of it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from mainstay.backup.fetch import Damaged, fetch
from mainstay.backup.manifest import GLOBALS, Piece
from mainstay.store.backups import Backup, BackupState
from tests.backup.copies import Copies
from tests.backup.house import House, execute

FLIPS = 1000


def flipped(data: bytes, chance: random.Random) -> bytes:
    """The same bytes but for one bit."""
    spot = chance.randrange(len(data))
    return data[:spot] + bytes([data[spot] ^ 1 << chance.randrange(8)]) + data[spot + 1 :]


def one_byte(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 0xFF]) + data[half + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "one flipped byte": one_byte,
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "the last byte missing": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "zeros after the start": lambda data: data[:2000] + bytes(len(data) - 2000),
    "the backup of somebody else": lambda data: zstandard.ZstdCompressor().compress(b"PGDMP" + bytes(5000)),
}


async def read(house: House, piece: Piece) -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        await fetch(house.vault, piece, sink)
    finally:
        os.close(sink)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_object_is_found(house: House, damage: Callable[[bytes], bytes]) -> None:
    backup = await house.take()
    house.file(backup).write_bytes(damage(house.file(backup).read_bytes()))
    proof = await house.prove(backup)
    assert proof.verdict is BackupState.FAILED
    assert "dump.pgc.zst in directory" in proof.summary
    assert "was changed" in proof.summary


@pytest.mark.parametrize("name", ["dump.pgc.zst", "globals.sql.zst", "manifest.json"])
async def test_a_missing_object_is_found(house: House, name: str) -> None:
    backup = await house.take()
    house.file(backup, name).unlink()
    proof = await house.prove(backup)
    assert proof.verdict is BackupState.FAILED
    assert "gone" in proof.summary


async def test_a_thousand_flipped_bits_are_found(house: House) -> None:
    backup = await house.take()
    piece = house.manifest(backup).dump
    whole = house.file(backup).read_bytes()
    chance = random.Random(1)
    await read(house, piece)
    for _ in range(FLIPS):
        house.file(backup).write_bytes(flipped(whole, chance))
        with pytest.raises(Damaged):
            await read(house, piece)


async def test_the_checksum_of_zstd_finds_them_without_our_hashes(house: House) -> None:
    backup = await house.take()
    whole = house.file(backup).read_bytes()
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(whole)
    chance = random.Random(2)
    for _ in range(FLIPS):
        try:
            out = zstandard.ZstdDecompressor().decompressobj().decompress(flipped(whole, chance))
        except zstandard.ZstdError:
            continue
        # The few that it does not refuse: a frame that never ends, and bits of the header that mean nothing.
        assert len(out) < len(plain) or out == plain


async def test_a_hash_that_was_made_to_fit_does_not_help(house: House) -> None:
    backup = await house.take()
    whole = house.file(backup).read_bytes()
    chance = random.Random(3)
    for _ in range(20):
        data = flipped(whole, chance)
        house.file(backup).write_bytes(data)
        piece = house.manifest(backup).dump
        forged = piece.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
        with pytest.raises(Damaged):
            await read(house, forged)


@pytest.mark.parametrize("wrong", [{"raw_sha256": "0" * 64}, {"raw_bytes": 1}])
async def test_what_comes_out_is_compared_with_what_was_noted_of_it(
    house: House, wrong: dict[str, Any]
) -> None:
    """Its hash stands in manifests of the first format."""
    backup = await house.take()
    piece = house.manifest(backup).dump
    raw = unpacked(house.file(backup))
    await read(house, piece.model_copy(update={"raw_sha256": hashlib.sha256(raw).hexdigest()}))
    with pytest.raises(Damaged, match="unpacks to"):
        await read(house, piece.model_copy(update=wrong))


async def forge(house: House, backup: Backup, raw: bytes) -> Backup:
    """Store another archive and make every hash fit."""
    data = zstandard.ZstdCompressor(write_checksum=True).compress(raw)
    house.file(backup).write_bytes(data)
    piece = Piece(
        path=house.manifest(backup).dump.path,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        raw_bytes=len(raw),
        raw_sha256=hashlib.sha256(raw).hexdigest(),
    )
    return await house.tamper(backup, dump=piece)


async def test_flipped_bits_of_rows_are_found_when_every_hash_fits(house: House, copies: Copies) -> None:
    backup = await house.take()
    raw = unpacked(house.file(backup))
    notes = [hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest().encode() for n in range(1, 3001)]
    chance = random.Random(4)
    for note in chance.sample(notes, 20):
        start = raw.index(note)
        row = flipped(raw[start : start + 32], chance)
        forged = await forge(house, backup, raw[:start] + row + raw[start + 32 :])
        judgement = await copies.judge(house, forged)
        assert judgement.verdict is BackupState.FAILED
        assert "table public.sale" in judgement.summary()


def unpacked(file: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes())


async def test_zeros_after_the_table_of_contents_are_found_when_every_hash_fits(
    house: House, copies: Copies
) -> None:
    backup = await house.take()
    raw = unpacked(house.file(backup))
    rows = raw.index(b"customer 1\t")
    forged = await forge(house, backup, raw[: rows - 20] + bytes(len(raw) - rows + 20))
    judgement = await copies.judge(house, forged)
    assert judgement.verdict is BackupState.FAILED
    assert {"table public.customer", "table public.sale"} <= {each.what for each in judgement.differences}


MORE = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE child (extra text) INHERITS (customer);
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamp BEFORE INSERT ON sale FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE POLICY everybody ON sale USING (true);
SELECT lo_from_bytea(4711, 'a large object');
GRANT SELECT ON sale TO PUBLIC;
"""
CHANGES = {
    "a dropped row": ("DELETE FROM sale WHERE id = 1500", "table public.sale: expected 3,000 rows"),
    "a doubled row": ("INSERT INTO customer (name) VALUES ('one more')", "table public.customer"),
    "a changed value": ("UPDATE sale SET amount = amount + 0.01 WHERE id = 7", "table public.sale"),
    "two values exchanged": (
        "UPDATE sale a SET note = b.note FROM sale b WHERE (a.id, b.id) IN ((1, 2), (2, 1))",
        "table public.sale",
    ),
    "a null for an empty text": ("UPDATE customer SET data = NULL WHERE id = 1", "table public.customer"),
    "a missing table": ("DROP TABLE sale CASCADE", "table public.sale: expected 3,000 rows"),
    "a table too many": ("CREATE TABLE surprise ()", "table public.surprise: expected none"),
    "a missing index": ("DROP INDEX sale_customer", "index public.sale_customer"),
    "a missing foreign key": (
        "ALTER TABLE sale DROP CONSTRAINT sale_customer_fkey",
        "constraint public.sale.sale_customer_fkey",
    ),
    "a missing check": (
        "ALTER TABLE sale DROP CONSTRAINT sale_amount_check",
        "constraint public.sale.sale_amount_check",
    ),
    "a missing default": ("ALTER TABLE customer ALTER id DROP DEFAULT", "column public.customer.id"),
    "another type": ("ALTER TABLE child ALTER extra TYPE varchar(9)", "column public.child.extra"),
    "a missing view": ("DROP VIEW total", "relation public.total"),
    "a missing function": ("DROP FUNCTION twice", "function public.twice(n integer)"),
    "another function": (
        "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 3'",
        "function public.twice(n integer)",
    ),
    "a missing trigger": ("DROP TRIGGER stamp ON sale", "trigger public.sale.stamp"),
    "a disabled trigger": ("ALTER TABLE sale DISABLE TRIGGER stamp", "trigger public.sale.stamp"),
    "a missing policy": ("DROP POLICY everybody ON sale", "policy public.sale.everybody"),
    "a missing label": ("DROP TYPE mood; CREATE TYPE mood AS ENUM ('sad')", "type public.mood"),
    "a missing grant": ("REVOKE SELECT ON sale FROM PUBLIC", "grant public.sale"),
    "another owner": ("ALTER TABLE sale OWNER TO pg_monitor", "relation public.sale"),
    "a sequence set back": ("SELECT setval('customer_id_seq', 1)", "sequence public.customer_id_seq"),
    "a missing large object": ("SELECT lo_unlink(4711)", "large objects"),
    "a changed large object": ("SELECT lo_put(4711, 2, 'X')", "large objects"),
}


async def test_every_change_of_the_restored_copy_is_found(house: House, shop: str, copies: Copies) -> None:
    execute(shop, MORE)
    backup = await house.take()
    async with copies.restored(house, backup) as (trial, original, complaints):
        judgement = await trial.judge(copies.dsn(original), complaints)
        assert judgement.verdict is BackupState.PROVEN, judgement.summary()
        for name, (statement, what) in CHANGES.items():
            with copies.server.fresh(original) as changed:
                execute(changed, *statement.split("; "))
                judgement = await trial.judge(copies.dsn(changed.rpartition("/")[2]), complaints)
            found = [str(each) for each in judgement.differences]
            assert judgement.verdict is BackupState.FAILED, name
            assert any(line.startswith(what) for line in found), (name, found)


async def test_a_missing_role_is_found(house: House, shop: str) -> None:
    execute(shop, "CREATE ROLE clerk", "ALTER TABLE sale OWNER TO clerk", "GRANT SELECT ON customer TO clerk")
    try:
        backup = await house.take()
        manifest = house.manifest(backup)
        assert manifest.schema_.roles == ["clerk"]
        file = house.file(backup, GLOBALS)
        raw = b"".join(line for line in unpacked(file).splitlines(True) if b"clerk" not in line)
        data = zstandard.ZstdCompressor(write_checksum=True).compress(raw)
        file.write_bytes(data)
        piece = Piece(
            path=manifest.globals.path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(),
            raw_bytes=len(raw), raw_sha256=hashlib.sha256(raw).hexdigest(),
        )  # fmt: skip
        proof = await house.prove(await house.tamper(backup, globals=piece))
    finally:
        execute(shop, "REASSIGN OWNED BY clerk TO postgres", "DROP OWNED BY clerk", "DROP ROLE clerk")
    assert proof.verdict is BackupState.FAILED
    found = {each["what"]: each["found"] for each in proof.detail["differences"]}
    assert found["role clerk"] == "missing"
    assert found["relation public.sale"].startswith("table, owned by mainstay_")


async def test_a_manifest_that_was_replaced_is_found(house: House) -> None:
    backup = await house.take()
    forged = house.manifest(backup).model_copy(update={"tables": {}})
    house.file(backup, "manifest.json").write_text(forged.seal())
    proof = await house.prove(backup)
    assert proof.verdict is BackupState.FAILED
    assert "somebody replaced it" in proof.summary
