"""The table of schemes in the documents says what the code does."""

from __future__ import annotations

import pytest

from mainstay.core.amounts import format_duration
from mainstay.edge import schemes
from mainstay.edge.schemes.base import Scheme
from mainstay.edge.schemes.timed import Timed
from tests.edge.schemes.senders import VENDORS, scheme_of
from tests.helpers import ROOT

PAGE = ROOT / "docs/how-to/receive-webhooks.md"
TYPES = {name for name, cls in Scheme.registry.items() if cls.__module__.startswith(schemes.__name__)}


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def test_every_scheme_has_a_row() -> None:
    assert set(rows()) == TYPES


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_a_row_says_header_age_and_id(name: str) -> None:
    where, _, old, known_by = rows()[name]
    scheme, vendor = scheme_of(name), VENDORS[name]
    assert vendor.header in where
    age = format_duration(scheme.tolerance) if isinstance(scheme, Timed) else "never"
    assert old.partition(",")[0] == {"1d": "24h", "1d 1h": "25h"}.get(age, age)
    named = scheme.id_header or ".".join(scheme.id_path) or "the body"
    assert named in known_by
    assert known_by.endswith("in the body") == bool(scheme.id_path)


def test_the_number_of_schemes_is_said_right() -> None:
    for page in ("CHANGELOG.md", "docs/how-to/README.md"):
        assert f"{len(TYPES)} schemes" in (ROOT / page).read_text()
