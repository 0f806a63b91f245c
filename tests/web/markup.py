"""Looks at HTML as a strict reader would."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)


class Markup(HTMLParser):
    """Collects what is wrong with a page, and what it consists of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]
        self.faults += [
            f"id {one} stands twice" for one in {one for one in self.ids if self.ids.count(one) > 1}
        ]
        self.faults += [f"label for {name}, which is not there" for name in self._dangling()]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if "style" in found or any(name.startswith("on") for name in found):
            self.faults.append(f"<{tag}> has inline style or script: {found}")
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes <{self._open[-1] if self._open else 'nothing'}>")
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def _dangling(self) -> list[str]:
        known = set(self.ids)
        named = [(tag, found.get("aria-labelledby"), found.get("href")) for tag, found in self.tags]
        missing = [str(label) for _, label, _ in named if label and label not in known]
        return missing + [
            str(href) for tag, _, href in named if tag == "use" and href and href[1:] not in known
        ]

    @property
    def text(self) -> str:
        """All words, with single spaces and none before a full stop or a comma."""
        return re.sub(r" ([.,:])", r"\1", " ".join(" ".join(self.words).split()))

    def count(self, tag: str) -> int:
        """How often a tag stands there."""
        return sum(one == tag for one, _ in self.tags)
