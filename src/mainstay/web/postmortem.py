"""An incident as a Markdown document: what is known is filled in, what people have to say is asked."""

from collections.abc import Sequence

from mainstay.store.base import Row
from mainstay.web.timeline import Entry, Figures
from mainstay.web.words import Moments, span

_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|#"})


def write(incident: Row, entries: Sequence[Entry], figures: Figures, moments: Moments, where: str) -> str:
    """Write the document."""
    begun = incident["failed_at"]
    lines = [
        f"# {plain(incident['title'])}",
        "",
        f"{plain(incident['detail'])}",
        "",
        "| | |",
        "|---|---|",
        f"| where | {plain(where)}, {plain(incident['service'])} |",
        f"| severity | {incident['severity']} |",
        f"| first failed | {moments.full(begun)} |",
        f"| detected after | {span(figures.detected)} |",
        f"| told after | {span(figures.told)} |",
        f"| acknowledged after | {span(figures.acknowledged)} |",
        f"| {'lasted' if figures.healed is not None else 'open for'} | {span(figures.lasted)} |",
        f"| identifier | `{incident['id']}` |",
        "",
        "## Timeline",
        "",
        "| time | after | what |",
        "|---|---|---|",
    ]
    lines += [
        f"| {moments.clock(entry.at)} | +{span(entry.at - begun)} | {_what(entry)} |" for entry in entries
    ]
    lines += [
        "",
        "## Impact",
        "",
        "_Who noticed, and what could they not do?_",
        "",
        "## Cause",
        "",
        "_What made it fail? Why was that possible?_",
        "",
        "## What went well, what did not",
        "",
        "-",
        "",
        "## What changes",
        "",
        "- [ ] ",
        "",
    ]
    return "\n".join(lines)


def _what(entry: Entry) -> str:
    words = [f"**{plain(entry.title)}**", plain(entry.detail)]
    words += [f"({plain(word)})" for _, word in entry.tags]
    words += [f"step {plain(step['name'])} took {span(step['seconds'])}" for step in entry.steps]
    return " ".join(filter(None, words))


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(text.translate(_SPECIAL).split())
