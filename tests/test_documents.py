"""What the documents say is true: configurations load, commands exist, code runs, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mainstay.cli.catalog import COMMANDS
from mainstay.cli.entry import parser_of
from mainstay.cli.parser import Parser, UsageError
from mainstay.config import load
from mainstay.core.check import Check
from tests.helpers import ROOT
from tools.ratchets import tracked_files

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(mainstay [^`]+)`")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")


class Block(NamedTuple):
    """A piece of a document between two fences."""

    where: str
    language: str
    text: str


def documents() -> list[Path]:
    """Every page, except the lead's plan, which speaks of what is not there yet."""
    return [path for path in tracked_files(ROOT) if path.suffix == ".md" and path.name != "plan.md"]


def blocks(language: str) -> Iterator[Block]:
    for path in documents():
        text = path.read_text()
        for found in FENCE.finditer(text):
            line = text[: found.start()].count("\n") + 1
            if found[1] == language:
                yield Block(f"{path.relative_to(ROOT)}:{line}", found[1], found[2])


def configurations() -> list[Block]:
    """The YAML blocks which are ours; those of other programs start with a comment that names their file."""
    return [block for block in blocks("yaml") if not block.text.startswith("# prometheus.yml")]


@pytest.mark.parametrize("block", configurations(), ids=lambda block: block.where)
def test_a_configuration_in_the_documents_is_valid(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text(block.text if "name:" in block.text.splitlines()[0] else f"name: example\n{block.text}")
    load(file, secrets=False)


def commands() -> list[tuple[str, str]]:
    """Every `mainstay ...` in a shell block or in a sentence, with its place."""
    found = [(block.where, line) for block in blocks("sh") for line in block.text.splitlines()]
    for path in documents():
        prose = FENCE.sub("", path.read_text())
        found += [(str(path.relative_to(ROOT)), line) for line in INLINE.findall(prose)]
    shown = [
        (where, re.split(r"[#>|]", line)[0].strip())
        for where, line in found
        if line.strip().startswith("mainstay ")
    ]
    return sorted(set(shown))


@pytest.mark.parametrize(("where", "line"), commands(), ids=lambda text: text)
def test_a_command_in_the_documents_is_understood(where: str, line: str) -> None:
    _, name, *arguments = shlex.split(line)
    if name in ("--version", "--help", "help", "COMMAND"):
        return
    assert name in COMMANDS
    complaint = complaint_about(parser_of(COMMANDS[name]), arguments)
    # A sentence may name a command without all that it needs; a shell block may not.
    in_a_sentence = ":" not in where
    assert complaint is None or (in_a_sentence and "required" in complaint)


def complaint_about(parser: Parser, arguments: list[str]) -> str | None:
    """What the parser has against the arguments, if anything."""
    try:
        parser.parse_args(arguments)
    except SystemExit:  # help was asked for, and given
        return None
    except UsageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        file, _, anchor = target.partition("#")
        page = path.parent / file if file else path
        assert page.exists(), target
        if anchor:
            assert anchor in anchors(page), target


def anchors(page: Path) -> set[str]:
    """The names which headings get: lower case, words joined by dashes."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_check_of_the_how_to_page_works() -> None:
    [block] = [block for block in blocks("python") if "add-a-check" in block.where]
    names: dict[str, Any] = {"__name__": "our_checks.ftp"}
    try:
        exec(compile(block.text, block.where, "exec", dont_inherit=True), names)  # noqa: S102  # our own page
        check = names["FtpCheck"](host_name="ftp.example.com")
        assert Check.registry["ftp"] is names["FtpCheck"]
        assert check.every > 0
    finally:
        Check.registry.pop("ftp", None)


def test_every_decision_is_listed() -> None:
    pages = {path.name for path in (ROOT / "docs/adr").glob("0*.md")}
    listed = set(re.findall(r"\]\((0\d{3}-[\w-]+\.md)\)", (ROOT / "docs/adr/README.md").read_text()))
    assert listed == pages
    for name in pages:
        headings = re.findall(r"^## (.+)$", (ROOT / "docs/adr" / name).read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], name
