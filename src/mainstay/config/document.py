"""Reads YAML 1.2 into plain data and remembers on which line everything stands.

Stricter than YAML: one document, a mapping at the top, no tags, no duplicate keys, bounded size. Merge keys and
aliases work as far as they do not blow up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mainstay.config.syntax import compose
from mainstay.core.errors import ConfigError

LARGEST_FILE = 1_000_000
MOST_VALUES = 50_000
DEEPEST = 40

_TAG = "tag:yaml.org,2002:"

Where = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A file as data. `lines` has the line (from 1) of every key and item, by its path; the empty path is the top."""

    file: str
    data: dict[str, Any]
    lines: dict[Where, int] = field(repr=False)

    def line(self, path: Where) -> int:
        """Give the line of `path` or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, path: Where) -> str:
        """Give `mainstay.yaml:12: services.odoo.checks[0]`."""
        words = spell(path)
        return f"{self.file}:{self.line(path)}" + (f": {words}" if words else "")


def spell(path: Where) -> str:
    """Write a path the way people do: `services.odoo.checks[0].http`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read(path: Path, shown: str | None = None) -> Document:
    """Read a file. Raises `ConfigError` with the line."""
    shown = shown or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=shown, hint="mainstay init writes one") from None
    except IsADirectoryError:
        raise ConfigError("is a directory", where=shown, hint="name the file itself") from None
    except PermissionError:
        raise ConfigError(
            "may not be read by this account", where=shown, hint="check its owner and mode with ls -l"
        ) from None
    except OSError as fault:
        raise ConfigError(
            f"cannot be read: {fault.strerror}", where=shown, hint="check the path and the disk"
        ) from None
    return parse(_decode(raw, shown), shown)


def _decode(raw: bytes, shown: str) -> str:
    if len(raw) > LARGEST_FILE:
        raise ConfigError(
            "is larger than 1 MB", where=f"{shown}:1", hint="this is hardly a configuration; check the path"
        )
    if b"\0" in raw:
        raise ConfigError(
            "is not a text file", where=f"{shown}:1", hint="check the path; write it with an editor"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        raise ConfigError("is not text in UTF-8", where=f"{shown}:{line}", hint="save it as UTF-8") from None
    for number, line_text in enumerate(text.split("\n"), 1):
        odd = next((letter for letter in line_text if letter < " " and letter not in "\t\r"), None)
        if odd is not None:
            raise ConfigError(
                f"contains the control character U+{ord(odd):04X}",
                where=f"{shown}:{number}",
                hint="this is not a text file, or it was damaged; remove the character",
            )
    return text


def parse(text: str, shown: str) -> Document:
    """Read text. Raises `ConfigError` with the line."""
    node = compose(text, shown)
    if node is None:
        raise ConfigError(
            "is empty",
            where=f"{shown}:1",
            hint="the least is `name: x` and a service; mainstay init writes one",
        )
    builder = _Builder(shown)
    data = builder.build(node, ())
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        raise ConfigError(
            f"must be a mapping at the top, not {kind}",
            where=f"{shown}:{node.start_mark.line + 1}",
            hint="start with `name: x`, then `services:`",
        )
    return Document(shown, data, builder.lines)


class _Builder:
    """Turns nodes into plain data, counting what aliases multiply."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.lines: dict[Where, int] = {(): 1}
        self.count = 0
        self.constructor = YAML(typ="safe", pure=True).constructor

    def fault(self, node: Node, path: Where, what: str, hint: str) -> ConfigError:
        line = node.start_mark.line + 1
        words = spell(path)
        return ConfigError(what, where=f"{self.shown}:{line}" + (f": {words}" if words else ""), hint=hint)

    def build(self, node: Node, path: Where) -> Any:
        self.count += 1
        if self.count > MOST_VALUES or len(path) > DEEPEST:
            raise self.fault(
                node,
                path[:3],
                "aliases (*name) multiply without end",
                "write the values out, or use fewer aliases",
            )
        if isinstance(node, MappingNode):
            self._plain_tag(node, path, "map")
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            self._plain_tag(node, path, "seq")
            return [self._place(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _place(self, node: Node, path: Where, line: int | None = None) -> Any:
        self.lines[path] = line if line is not None else node.start_mark.line + 1
        return self.build(node, path)

    def _plain_tag(self, node: Node, path: Where, expected: str) -> None:
        if str(node.tag) != _TAG + expected:
            raise self.fault(
                node, path, f"has the tag {_short(node)}", "remove the tag; plain YAML is enough"
            )

    def _scalar(self, node: Node, path: Where) -> Any:
        tag = str(node.tag).removeprefix(_TAG)
        if tag in {"str", "timestamp", "value"}:
            return str(node.value)
        if tag == "null":
            return None
        try:
            if tag == "bool":  # a file that declares YAML 1.1 gets no other truth: `no` stays text
                return {"true": True, "false": False}.get(node.value.lower(), node.value)
            if tag == "int":
                return self.constructor.construct_yaml_int(node)
            if tag == "float":
                return self.constructor.construct_yaml_float(node)
        except ValueError:
            raise self.fault(
                node, path, f"{node.value!r} is not a number", "put it in quotes if it is text"
            ) from None
        raise self.fault(node, path, f"has the tag {_short(node)}", "remove the tag; plain YAML is enough")

    def _mapping(self, node: Node, path: Where) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if str(key_node.tag) == _TAG + "merge":
                for part in self._merge(value_node, path):
                    merged = {**part, **merged}
                continue
            key = self._key(key_node, path)
            if key in seen:
                raise self.fault(
                    key_node, (*path, key), f"stands twice, first on line {seen[key]}", "keep one of the two"
                )
            seen[key] = line
            data[key] = self._place(value_node, (*path, key), line)
        return {**merged, **data}

    def _merge(self, node: Node, path: Where) -> Iterator[dict[str, Any]]:
        for part in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(part, MappingNode):
                raise self.fault(part, path, "<<: takes a mapping or a list of mappings", "write <<: *NAME")
            yield self.build(part, path)

    def _key(self, node: Node, path: Where) -> str:
        if not isinstance(node, ScalarNode):
            raise self.fault(
                node, path, "a key must be a plain word", "quote text that holds braces or brackets"
            )
        return str(node.value)


def _short(node: Node) -> str:
    return str(node.tag).replace(_TAG, "!!")
