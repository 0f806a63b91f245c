"""What is written about a database in the file."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.backup.ports import BackupPorts
from mainstay.backup.settings import BackupSettings, DatabaseSettings, Keep
from mainstay.core.errors import MainstayError
from tests.backup.house import House


def test_what_is_left_out_has_a_sane_default() -> None:
    made = BackupSettings(to="vault")
    assert (made.at, made.prove, made.storages, made.keep.explain()) == (
        "0 2 * * *", "each", ("vault",), "30 daily, 12 monthly",
    )  # fmt: skip
    assert DatabaseSettings.model_validate({"dsn": "postgresql:///x"}).backup is None


def test_it_is_read_as_people_write_it() -> None:
    made = DatabaseSettings.model_validate(
        {
            "dsn": "postgresql://odoo@db.example.com/odoo",
            "backup": {
                "at": "30 1 * * *", "timezone": "Asia/Manila", "to": ["vault", "spaces"], "prove": "0 4 * * 0",
                "keep": {"daily": 7, "weekly": 4, "yearly": 1}, "lock_timeout": "1m", "exclude": ["public.session"],
            },
        }
    )  # fmt: skip
    assert made.backed_up.storages == ("vault", "spaces")
    assert made.backed_up.keep.explain() == "7 daily, 4 weekly, 12 monthly, 1 yearly"
    assert made.backed_up.lock_timeout == 60


BAD: dict[str, dict[str, Any]] = {
    "postgresql://odoo:secret@host/x": {"dsn": "postgresql://odoo:secret@host/x"},
    "no storage": {"dsn": "postgresql:///x", "backup": {"to": []}},
    "a storage twice": {"dsn": "postgresql:///x", "backup": {"to": ["a", "a"]}},
    "an empty storage": {"dsn": "postgresql:///x", "backup": {"to": ""}},
    "a bad cron": {"dsn": "postgresql:///x", "backup": {"to": "a", "at": "at night"}},
    "a bad proof": {"dsn": "postgresql:///x", "backup": {"to": "a", "prove": "sometimes"}},
    "nothing kept": {"dsn": "postgresql:///x", "backup": {"to": "a", "keep": {"daily": 0, "monthly": 0}}},
    "less than nothing": {"dsn": "postgresql:///x", "backup": {"to": "a", "keep": {"daily": -1}}},
    "not a table": {"dsn": "postgresql:///x", "backup": {"to": "a", "exclude": ["session"]}},
    "a pattern": {"dsn": "postgresql:///x", "backup": {"to": "a", "exclude": ["public.*"]}},
    "an unknown key": {"dsn": "postgresql:///x", "backup": {"to": "a", "keeps": 3}},
}


@pytest.mark.parametrize("written", BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as told:
        DatabaseSettings.model_validate(written)
    assert len(told.value.errors()) == 1


def test_keeping_nothing_is_no_retention() -> None:
    assert Keep(daily=0, monthly=0, yearly=1).explain() == "1 yearly"
    with pytest.raises(ValidationError, match="keep at least one backup"):
        Keep(daily=0, monthly=0)


def test_names_that_are_not_in_the_file_are_told_with_those_that_are(house: House) -> None:
    ports: BackupPorts = house.ports
    with pytest.raises(MainstayError, match=r"no storage 'vualt' \(hint: known: vault\)"):
        ports.storage("vualt")
    with pytest.raises(MainstayError, match=r"no database 'shpo' \(hint: known: shop\)"):
        ports.database("shpo")
    bare = house.ports.database("shop").model_copy(update={"backup": None})
    object.__setattr__(ports, "databases", {"shop": bare})
    with pytest.raises(MainstayError, match="database shop is not backed up"):
        ports.backup("shop")
    with pytest.raises(LookupError):
        bare.backed_up.storages  # noqa: B018
