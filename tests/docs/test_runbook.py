"""The runbook has a section for every alert that mainstay can raise, under the very words of the alert."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.incidents.from_run import title_of
from mainstay.incidents.machine import Rules, advance
from mainstay.store.incidents import Suspicion
from tests.helpers import ROOT
from tools.ratchets import python_files, tree

PAGE = ROOT / "docs/runbook.md"
# Where a call names the title of what it raises: a keyword, or the place of an argument.
# An alert about one of several things has a heading with a word in capitals for them.
RAISES: dict[str, str | int] = {"raise_condition": "title", "_complain": 1, "Alarm": 2, "_trouble": 3}


def headings() -> list[re.Pattern[str]]:
    """The runbook's headings as patterns: a word in capitals stands for a name."""
    found = re.findall(r"^##+ (.+)$", PAGE.read_text(), re.MULTILINE)
    return [re.compile(re.sub(r"\b[A-Z]{3,}\b", r"\\S+", heading)) for heading in found]


def is_there(title: str) -> bool:
    return any(heading.fullmatch(title) for heading in headings())


def raised() -> Iterator[str]:
    """Every title that the code writes down as such; what is filled in becomes `x`."""
    for path in python_files(ROOT):
        if not path.is_relative_to(ROOT / "src"):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and (place := RAISES.get(_name(node.func))) is not None:
                yield from _written(node, place)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _written(call: ast.Call, place: str | int) -> Iterator[str]:
    if isinstance(place, str):
        given = [keyword.value for keyword in call.keywords if keyword.arg == place]
    else:
        given = call.args[place : place + 1]
    for node in given:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)


def test_every_condition_that_the_code_raises_is_in_the_runbook() -> None:
    titles = set(raised())
    assert len(titles) >= 4
    assert {title for title in titles if not is_there(title)} == set()


@pytest.mark.parametrize("job", ["backup:shop", "prove:shop", "renew:shop", "journal_backup", "heal:website"])
def test_every_job_that_fails_is_in_the_runbook(job: str) -> None:
    assert is_there(title_of(job))


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.WARN])
def test_every_check_that_fails_or_warns_is_in_the_runbook(verdict: Verdict) -> None:
    result = Result("shop/http", "shop", verdict, "", 1000.0, confirmed=True)
    step = advance(None, result, Rules(warn_after=1.0), 1000.0, Suspicion(warned_at=1.0))
    assert step.incident is not None
    assert is_there(step.incident.title)


def test_a_title_that_is_not_in_the_runbook_would_be_noticed() -> None:
    assert not is_there("The moon is gone")
