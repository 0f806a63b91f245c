"""The reference says everything, and says when it is out of date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mainstay.cli.catalog import COMMANDS
from mainstay.config.plugins import register_all
from mainstay.config.schema import json_schema
from mainstay.web.metrics import METRICS
from tools.reference import __main__ as command
from tools.reference import commands, metrics
from tools.reference.settings import KINDS, is_ours, meaning_of, nested_models, pages
from tools.reference.spelling import cell, default, example, spell


def words(schema: dict[str, Any]) -> str:
    return spell(schema, lambda _: None)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string"}, "text"),
        ({"type": "boolean"}, "yes or no"),
        ({"type": ["string", "integer"]}, "text or number"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"anyOf": [{"type": "string"}, {"type": "number"}], "examples": ["5s"]}, "duration"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "mapping of names to number"),
        ({"enum": ["a", "b"]}, "one of `a`, `b`"),
        ({"type": "object", "properties": {"secret": {}}}, "`{secret: NAME}`"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "mapping with `a` (text)"),
        ({}, "anything"),
    ],
)
def test_schemas_in_words(schema: dict[str, Any], said: str) -> None:
    assert words(schema) == said


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"default": None}, ""),
        ({"default": True}, "`true`"),
        ({"default": "x"}, "`x`"),
        ({"default": ""}, ""),
        ({"default": {"daily": 30, "on": ["a"]}}, "`{daily: 30, on: [a]}`"),
        ({"default": 90.0, "examples": ["5s"]}, "`1m 30s`"),
        ({"default": 2000, "examples": ["200MB"]}, "`2.0 kB`"),
        ({"default": 80.0, "anyOf": [{"examples": ["80%"]}]}, "`80%`"),
        ({"default": [[200, 299]]}, "`200-299`"),
    ],
)
def test_defaults_in_words(schema: dict[str, Any], said: str) -> None:
    assert default(schema, required=False) == said
    assert default(schema, required=True) == "**required**"


def test_cells_and_examples() -> None:
    assert cell("a\n|b") == "a \\|b"
    assert example({"examples": [["a", "b"]]}) == ' Example: `["a", "b"]`.'
    assert example({"examples": ["5s"]}) == ""


def test_every_type_and_every_option_is_in_the_pages() -> None:
    register_all()
    for name, (base, _) in KINDS.items():
        page = pages()[f"{name}.md"]
        types = [cls for cls in base.registry.values() if is_ours(cls)]
        assert types
        for cls in types:
            assert f"\n## {cls.type_name}\n" in page
            assert all(f"| `{option}` |" in page for option in cls.model_json_schema()["properties"])


def test_every_option_says_what_it_means() -> None:
    schema = json_schema()
    models = {"mainstay.yaml": schema, **nested_models(schema)}
    of_the_kind = {option for base, _ in KINDS.values() for option in base.model_json_schema()["properties"]}
    silent = [
        f"{name}.{option}"
        for name, model in models.items()
        for option, each in model["properties"].items()
        if not meaning_of(each, schema) and option not in of_the_kind
    ]
    assert silent == []


def test_every_command_and_every_metric_is_in_the_pages() -> None:
    written = commands.page()
    assert all(f"\n## {name}\n" in written for name in COMMANDS)
    assert "`--config PATH`" in written
    written = metrics.page()
    assert all(f"| `{one.name}` |" in written for one in METRICS)


def test_the_pages_in_the_repository_are_those_of_the_code() -> None:
    assert command.stale(command.FOLDER, command.pages()) == []


def test_writing_brings_pages_up_to_date_and_leaves_others_alone(tmp_path: Path) -> None:
    wanted = {"a.md": command.MARK + "new", "b.md": command.MARK + "same"}
    (tmp_path / "a.md").write_text(command.MARK + "old")
    (tmp_path / "gone.md").write_text(command.MARK + "gone")
    (tmp_path / "README.md").write_text("written by hand")
    assert command.stale(tmp_path, wanted) == ["a.md", "b.md", "gone.md"]
    command.write(tmp_path, wanted)
    assert command.stale(tmp_path, wanted) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "a.md", "b.md"]
