"""Versions that get no security fixes any more, by a dated table in this package."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files

from mainstay.upkeep.patches.weakness import Level, Weakness, unknown

SOON = 90
"""Days before its end from which a version is told of."""
OLD = 366
"""Days after which our own table counts as old."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the table: `ends` by release, None while nobody knows."""

    name: str
    title: str
    seen: date
    source: str
    note: str
    ends: dict[str, date | None]

    def release(self, version: str) -> str | None:
        """Give the release that a version belongs to, the longest that fits; None when the table knows none."""
        parts = version.split(".")
        return next(
            (short for count in range(len(parts), 0, -1) if (short := ".".join(parts[:count])) in self.ends),
            None,
        )


@dataclass(frozen=True, slots=True)
class Running:
    """A version that was seen: of which product, and where."""

    product: str
    version: str
    where: str


@cache
def table() -> dict[str, Product]:
    """Read the table."""
    text = (files("mainstay.upkeep.patches") / "end_of_life.toml").read_text("utf-8")
    return {name: _product(name, row) for name, row in tomllib.loads(text).items()}


def _product(name: str, row: dict[str, object]) -> Product:
    ends = row["ends"]
    seen = row["seen"]
    assert isinstance(ends, dict)  # noqa: S101 - our own file
    assert isinstance(seen, date)  # noqa: S101
    return Product(
        name,
        str(row["title"]),
        seen,
        str(row["source"]),
        str(row.get("note", "")),
        {release: date.fromisoformat(end) if end else None for release, end in ends.items()},
    )


def judge(running: Iterable[Running], now: float) -> list[Weakness]:
    """Say which versions have run out, will soon, or cannot be judged."""
    today = datetime.fromtimestamp(now, UTC).date()
    found = [weak for each in running if (weak := _one(each, today)) is not None]
    return found + _old({each.product for each in running}, today)


def _one(running: Running, today: date) -> Weakness | None:
    product = table().get(running.product)
    subject = f"{product.title if product else running.product} {running.version} ({running.where})"
    release = product.release(running.version) if product else None
    if product is None or release is None:
        where = f"; look at {product.source}" if product else ""
        return unknown(subject, f"the table does not know when its security fixes end{where}")
    end = product.ends[release]
    if end is None or (end - today).days > SOON:
        return None
    note = f" ({product.note})" if product.note else ""
    fix = f"upgrade; see {product.source}"
    if end < today:
        return Weakness("version", subject, f"no security fixes since {end}{note}", Level.WARNING, fix)
    return Weakness("version", subject, f"security fixes end on {end}{note}", Level.NOTE, fix)


def _old(products: set[str], today: date) -> list[Weakness]:
    """Complain about our own table where it is older than a year."""
    return [
        unknown(
            f"{each.title} releases",
            f"the table was made on {each.seen}, over a year ago",
            "upgrade mainstay",
        )
        for name, each in table().items()
        if name in products and (today - each.seen).days > OLD
    ]
