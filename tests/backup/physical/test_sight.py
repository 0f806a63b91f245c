"""What is seen of a stream: how far it is behind, in bytes and seconds, and where nobody looks any more."""

from __future__ import annotations

import pytest

from mainstay.backup.physical import sight as sights
from mainstay.backup.physical import stream as streams
from mainstay.backup.physical.picture import LogView, pictures
from mainstay.backup.physical.sight import Lag
from mainstay.ports.objects.directory import Directory
from mainstay.store import wal
from tests.backup.physical.house import PhysicalHouse
from tests.backup.physical.test_faults import write_log
from tests.helpers import aeventually


def test_a_lag_is_told_from_when_the_first_missing_byte_was_seen() -> None:
    lag = Lag()
    for now, written in ((0.0, 100), (1.0, 200), (2.0, 200), (3.0, 300)):
        lag.take(now, written)
    assert [lag.seconds(4.0, reached) for reached in (50, 100, 200, 299, 300)] == [4.0, 3.0, 1.0, 1.0, 0.0]
    lag.take(5.0, 90)  # the server was set back: what was before says nothing
    assert (lag.seconds(6.0, 80), lag.seconds(6.0, 90)) == (1.0, 0.0)


async def view(house: PhysicalHouse) -> LogView:
    now = house.ports.clock.now()
    return (await house.ports.store.read(lambda tx: pictures(tx, {"shop": "vault"}, now)))["shop"]


async def test_what_is_written_down_follows_the_stream(
    kept: PhysicalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sights, "EVERY", 0.1)
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)
    assert (await view(kept)).says == "nobody has looked at it yet"
    async with kept.streaming() as stream:
        await kept.shipped(stream, write_log(kept))
        await kept.shipped(stream, write_log(kept))

        async def up_to_date() -> bool:
            seen = (await view(kept)).seen
            assert seen is not None
            return bool(seen["streaming"] and seen["segment"] and seen["storage_lag_bytes"] == 0)

        await aeventually(up_to_date, 20)
        found = await view(kept)
        assert found.seen is not None
        assert (found.state, found.says) == ("warn", "there is no base backup yet")
        assert (found.seen["mode"], found.seen["waits"], found.seen["log"]) == (
            "asynchronous", False, stream.state.system,
        )  # fmt: skip
        (shipper,) = stream._shippers.values()
        shipper.archive.storage = Directory(path=kept.base / "journal.db" / "vault")  # below a file
        write_log(kept)

        async def behind() -> bool:
            seen = (await view(kept)).seen
            return bool(seen and seen["storage_lag_bytes"] > 0 and seen["storage_lag_seconds"] > 0)

        await aeventually(behind, 20)
    await kept.ports.store.write(lambda tx: wal.forget(tx, "shop"))
    assert (await view(kept)).at is None
