"""A process that writes into a journal and says so: `python -m tests.store.scribe URL MODE NAME [COUNT]`.

write NAME COUNT   write the keys NAME:0, NAME:1, ... with 8 writers; a line with the key once it is durable
refuse NAME COUNT  the same, but after COUNT keys every fsync of this process fails with EIO; says what happens
wait NAME          say "ready", wait for the topic NAME, say "woken"
open               open and close
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator

from mainstay.core.errors import JournalError
from mainstay.ports.clock import SystemClock
from mainstay.store import meta
from mainstay.store.base import Store, Tx
from mainstay.store.open import open_store
from tests.store.broken_disk import fail_every_fsync

WRITERS = 8


def say(line: str) -> None:
    # One system call a line: what was said is said, whenever this process is killed.
    os.write(1, f"{line}\n".encode())


async def write(store: Store, key: str) -> None:
    def unit(tx: Tx) -> None:
        meta.put(tx, key, "x" * 200)
        tx.signal("runs")

    await store.write(unit)
    say(key)


async def writer(store: Store, keys: Iterator[str]) -> None:
    for key in keys:
        await write(store, key)


async def write_many(store: Store, name: str, count: int) -> None:
    keys = (f"{name}:{number}" for number in range(count))
    await asyncio.gather(*[writer(store, keys) for _ in range(WRITERS)])


async def refuse(store: Store, name: str, count: int) -> None:
    await write_many(store, name, count)
    fail_every_fsync()
    for number in itertools.count(count, 1):
        try:
            await write(store, f"{name}:{number}")
        except JournalError as error:
            say(f"refused: {error}")
        if number >= count + 20:
            return


async def wait(store: Store, topic: str) -> None:
    waiting = store.wait(topic, 60)
    say("ready")
    say("woken" if await waiting else "asleep")


async def main(url: str, mode: str, name: str = "", count: str = "1000000000") -> None:
    store = await open_store(url, SystemClock())
    say("open")
    if mode == "write":
        await write_many(store, name, int(count))
    elif mode == "refuse":
        await refuse(store, name, int(count))
    elif mode == "wait":
        await wait(store, name)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
