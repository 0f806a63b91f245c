"""The JSON schema of `mainstay.yaml`: for editors, and to say what somebody probably meant."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

from mainstay.config.document import Where

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@cache
def json_schema() -> dict[str, Any]:
    """Give the schema (draft 2020-12); descriptions are the attribute docstrings."""
    from mainstay.config.model import Config

    schema = Config.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, "title": "mainstay.yaml", **{k: v for k, v in schema.items() if k != "title"}}


@cache
def editor_schema() -> dict[str, Any]:
    """Give the schema as editors want it: a type without required options may be written as its name alone."""
    schema = deepcopy(json_schema())
    for node in _nodes(schema):
        if names := [name for name in map(_lone, node.get("oneOf", ())) if name and _may_be_bare(node, name)]:
            node["oneOf"] = [*node["oneOf"], {"enum": names}]
    return schema


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside of a schema."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(inner)


def _lone(choice: Any) -> str | None:
    """Give the type's name of a `{TYPE: options}`; None for anything else."""
    required: list[str] = choice.get("required", []) if isinstance(choice, dict) else []
    return required[0] if len(required) == 1 and list(choice.get("properties", ())) == required else None


def _may_be_bare(node: dict[str, Any], name: str) -> bool:
    options = next(each["properties"][name] for each in node["oneOf"] if _lone(each) == name)
    first = next(iter(options.get("anyOf", ())), options)
    reference = str(first.get("$ref", ""))
    model = json_schema()["$defs"].get(reference.rpartition("/")[2])
    return model is not None and not model.get("required")


def at(path: Where) -> list[dict[str, Any]]:
    """Give every alternative that the schema allows at a path; empty when the path leads out of it."""
    found = list(_alternatives(json_schema()))
    for part in path:
        found = [deeper for schema in found for deeper in _child(schema, part)]
    return found


def options(path: Where) -> list[str]:
    """Give the names of the options that may stand in the mapping at a path."""
    return sorted({name for schema in at(path) for name in schema.get("properties", {})})


def description(path: Where) -> str:
    """Give the first sentence of the documentation of the option at a path, or nothing."""
    texts = [schema["description"] for schema in _raw(path) if schema.get("description")]
    return texts[0].split("\n")[0].strip() if texts else ""


def examples(path: Where) -> list[Any]:
    """Give example values of the option at a path."""
    return [example for schema in _raw(path) for example in schema.get("examples", [])]


def _raw(path: Where) -> Iterator[dict[str, Any]]:
    """The schemas at a path before references are followed: an option's own words come first."""
    if not path:
        return
    for parent in at(path[:-1]):
        yield from _direct(parent, path[-1])
    yield from at(path)


def _direct(schema: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    if isinstance(part, int):
        if isinstance(items := schema.get("items"), dict):
            yield items
    elif part in schema.get("properties", {}):
        yield schema["properties"][part]
    else:
        extra = schema.get("additionalProperties")
        yield from [extra] if isinstance(extra, dict) else schema.get("patternProperties", {}).values()


def _child(schema: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    for child in _direct(schema, part):
        yield from _alternatives(child)


def _alternatives(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in schema:
        yield from _alternatives(json_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    nested = [part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word, ())]
    for part in nested:
        yield from _alternatives(part)
    if not nested and "$ref" not in schema:
        yield schema
