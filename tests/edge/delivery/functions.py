"""Functions that play a target."""

from __future__ import annotations

import threading

from mainstay.edge.delivery.parcel import Parcel
from mainstay.edge.delivery.targets.entry_point import Never

TAKEN: list[Parcel] = []
GO_ON = threading.Event()


def take(parcel: Parcel) -> str:
    TAKEN.append(parcel)
    return f"took {parcel.json()['amount']}"


async def take_async(parcel: Parcel) -> None:
    TAKEN.append(parcel)


def fail(parcel: Parcel) -> None:
    raise ConnectionError("the ledger is closed, swordfish-swordfish")


def refuse(parcel: Parcel) -> None:
    raise Never("no such account")


def leave(parcel: Parcel) -> None:
    raise SystemExit(3)


def hang(parcel: Parcel) -> None:
    GO_ON.wait(60)


not_a_function = 7
