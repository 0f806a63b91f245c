"""The tutorial, gone through as its reader does: every command, in order, with what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.page import steps, unsaid
from tests.docs.shell import Shell
from tests.helpers import ROOT
from tests.servers.process import free_port

PORTS = ("54329", "8069", "8081", "8420")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_works(checkout: Path, directory: Path, shell: Callable[[Path], Shell]) -> None:
    (directory / "mainstay").symlink_to(checkout)
    reader = shell(directory)
    page = steps(ROOT / "docs/tutorial.md", {port: free_port() for port in PORTS})
    assert len(page) > 15
    for step in page:
        # The clone is there already: with the changes of this working tree.
        reader.do(step.without("git clone REPOSITORY mainstay"))
    assert sorted(path.name for path in directory.iterdir() if path.name[0] != ".") == [
        "cache",
        "mainstay",
        "shims",
        "tools",
    ]


def test_what_a_page_shows_is_compared_word_by_word() -> None:
    said = "tutorial  All is well  (agent wrote now)\n  ●  website   ok     3s   1.9ms  200 in 2ms\n"
    assert unsaid(("●  website   ok     14s  2.9ms  200 in 13ms",), said) == []
    assert unsaid(("...", "tutorial All is ... wrote"), said) == []
    assert unsaid(("●  website   fail   14s  2.9ms  200 in 13ms",), said)
    assert unsaid(("●  postgres  ok     14s",), said)
