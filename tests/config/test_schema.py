"""The schema for editors says what the loader takes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from mainstay.config.document import read
from mainstay.config.schema import at, description, editor_schema, examples, json_schema, options
from tests.config.test_broken import BROKEN, EXPECTED

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(editor_schema())


def test_it_is_a_valid_schema_of_its_dialect() -> None:
    jsonschema.Draft202012Validator.check_schema(editor_schema())
    assert editor_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    json.dumps(editor_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_the_loader_takes_the_schema_takes(path: Path) -> None:
    validator().validate(read(path).data)


@pytest.mark.parametrize(
    "name",
    [
        "unknown_option_of_a_check",
        "unknown_option_of_a_service",
        "check_of_an_unknown_type",
        "checks_as_a_mapping",
        "yes_is_not_true",
        "name_missing",
        "channel_with_a_misspelt_when",
        "storage_of_an_unknown_type",
    ],
)
def test_what_an_editor_can_see_it_marks(name: str) -> None:
    assert name in EXPECTED
    assert not validator().is_valid(read(BROKEN / f"{name}.yaml").data)


def test_every_option_says_what_it_means() -> None:
    silent = [
        f"{model}.{option}"
        for model, schema in json_schema()["$defs"].items()
        for option, about in schema.get("properties", {}).items()
        if not about.get("description") and "const" not in about and option != "kind"
    ]
    assert silent == []


def test_places_in_the_schema_are_found() -> None:
    assert {"critical", "checks", "heal"} <= set(options(("services", "web")))
    assert "url" in options(("services", "web", "checks", 0, "http"))
    assert "routing_key" in options(("notify", "pagerduty"))
    assert description(("services", "web", "critical")).startswith("Whether")
    assert examples(("timezone",))[:2] == ["UTC", "Asia/Manila"]
    assert at(("services", "web", "nothing")) == []


def test_a_type_without_required_options_may_stand_alone() -> None:
    def takes(scheme: object) -> bool:
        source = {"secrets": [{"secret": "x"}], "scheme": scheme}
        return bool(validator().is_valid({"name": "x", "webhooks": {"one": source}}))

    assert takes("github")
    assert takes({"github": {}})
    assert not takes("gihtub")
    assert not takes("basic")
