"""The pages about `mainstay.yaml`: its sections, and every type of check, job, notifier and storage."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mainstay.backup.data.base import Dataset
from mainstay.config.model import BUILT_IN
from mainstay.config.plugins import register_all
from mainstay.config.schema import json_schema
from mainstay.core.check import Check
from mainstay.core.job import Job
from mainstay.core.notifier import Notifier
from mainstay.core.plugin import Plugin
from mainstay.edge.delivery.repair import Repair
from mainstay.edge.delivery.targets import Target
from mainstay.edge.schemes.base import Scheme
from mainstay.ports.objects import Storage
from tools.reference.spelling import Schema, cell, default, example, spell

KINDS: dict[str, tuple[type[Plugin], str]] = {
    "checks": (Check, "What can be asked of a service, under `services: NAME: checks:`."),
    "jobs": (Job, "What can be done on a schedule, under `jobs:`."),
    "notifiers": (Notifier, "Whom and how to tell, under `notify:`."),
    "schemes": (Scheme, "How a sender of webhooks proves who it is, under `webhooks: NAME: scheme:`."),
    "data": (Dataset, "What can be backed up beside databases of PostgreSQL, under `data:`."),
    "storage": (Storage, "Where backups can be kept, under `storage:`."),
    "repairs": (
        Repair,
        "How senders of webhooks are asked what was missed, under `webhooks: NAME: repair:`.",
    ),
    "targets": (Target, "Where webhooks can be delivered, under `webhooks: NAME: deliver_to:`."),
}
INTRODUCTION = """\
One file, `mainstay.yaml`, in YAML 1.2. Unknown and duplicate keys are faults; `mainstay config check` tells each with
file, line and remedy. `mainstay config schema` prints the JSON schema for editors, `mainstay config explain PATH`
explains one option.

Durations are written `5s`, `1m30s`, `24h` or `7d`, sizes `200MB` or `4GiB`. A secret is written `{secret: NAME}` and
looked up in `$CREDENTIALS_DIRECTORY/NAME`, then in the file that `MAINSTAY_NAME_FILE` names, then in `MAINSTAY_NAME`.
"""
HEAD = "| option | value | default | meaning |\n|---|---|---|---|"


def pages() -> dict[str, str]:
    """Every page about the configuration, by file name."""
    register_all()
    found = {f"{name}.md": kind_page(name, base, about) for name, (base, about) in KINDS.items()}
    return {"configuration.md": configuration_page(), **found}


def kind_page(name: str, base: type[Plugin], about: str) -> str:
    """All types of one kind; what every type of it has stands once, at the end."""
    types = [cls for _, cls in sorted(base.registry.items()) if is_ours(cls)]
    contents = ", ".join(f"[{cls.type_name}](#{cls.type_name})" for cls in types)
    parts = [f"# {name.capitalize()}", about, contents]
    for cls in types:
        parts += list(type_section(cls, base))
    if base.model_fields:
        schema = base.model_json_schema()
        parts += [f"## Options of every {base.kind}", table(schema), *nested_sections(schema)]
    return "\n\n".join(parts) + "\n"


def is_ours(cls: type[Plugin]) -> bool:
    """Whether a type is part of mainstay: whoever runs this may have plug-ins of others."""
    return cls.__module__.startswith("mainstay.")


def type_section(cls: type[Plugin], base: type[Plugin]) -> Iterator[str]:
    """Heading, documentation, short form and options of one type."""
    yield f"## {cls.type_name}"
    yield inspect.cleandoc(cls.__doc__ or "")
    if cls.type_name in BUILT_IN:
        yield f"It comes by itself from {BUILT_IN[cls.type_name]}, and cannot be written under `jobs:`."
    if cls.shorthand:
        yield f"Short form: `{cls.type_name}: {cls.shorthand.upper()}`."
    schema = cls.model_json_schema()
    shared = base.model_json_schema()["properties"]
    # A type may give an option of its kind another default, without saying again what it means.
    own = {
        name: {"description": shared.get(name, {}).get("description", ""), **each}
        for name, each in schema["properties"].items()
        if shared.get(name) != each
    }
    if own:
        yield table({**schema, "properties": own})
    yield from nested_sections({**schema, "properties": own})


def nested_sections(schema: Schema) -> Iterator[str]:
    """Heading, documentation and options of every model that the options refer to."""
    known = nested_models(schema)
    reached: set[str] = set()
    looked: list[Any] = list(schema["properties"].values())
    while looked:
        part = looked.pop()
        new = {name for name in known.keys() - reached if _mentions(part, name)}
        reached |= new
        looked += [known[name]["properties"] for name in new]
    for name, nested in sorted(known.items()):
        if name in reached:
            yield f"### {name}\n\n{nested.get('description', '')}".rstrip()
            yield table({**nested, "$defs": schema.get("$defs", {})})


def nested_models(schema: Schema) -> dict[str, Schema]:
    """The models that a schema refers to, by name."""
    return {name: each for name, each in schema.get("$defs", {}).items() if each.get("properties")}


def _mentions(schema: Any, name: str) -> bool:
    if isinstance(schema, dict):
        return schema.get("$ref") == f"#/$defs/{name}" or any(
            _mentions(each, name) for each in schema.values()
        )
    return isinstance(schema, list) and any(_mentions(each, name) for each in schema)


def table(schema: Schema) -> str:
    """The options of one model."""
    required = schema.get("required", ())
    rows = [row(name, each, name in required, schema) for name, each in schema["properties"].items()]
    return "\n".join([HEAD, *rows])


def row(name: str, schema: Schema, required: bool, root: Schema) -> str:
    """One option."""
    meaning = meaning_of(schema, root) + example(schema)
    value = spell(schema, lambda each: place_of(each, root))
    return f"| `{name}` | {cell(value)} | {cell(default(schema, required))} | {cell(meaning)} |"


def meaning_of(schema: Schema, root: Schema) -> str:
    """What an option means; one that holds nothing but a model may leave the words to the model."""
    target = root.get("$defs", {}).get(schema.get("$ref", "").rpartition("/")[2], {})
    return str(schema.get("description") or target.get("description", ""))


def place_of(schema: Schema, root: Schema) -> str | None:
    """A link to where a schema is explained, if it has a place of its own."""
    if kind := kind_of(schema):
        return f"[{KINDS[kind][0].kind}]({kind}.md)"
    if "$ref" not in schema:
        return None
    name = schema["$ref"].rpartition("/")[2]
    for kind, (base, _) in KINDS.items():
        if name in {cls.__name__ for cls in base.registry.values()}:
            return f"[{base.kind}]({kind}.md)"
    target = root.get("$defs", {}).get(name, {})
    if target.get("properties"):
        return f"[{name}](#{name.lower()})"
    return spell(target, lambda each: place_of(each, root))


def kind_of(schema: Schema) -> str | None:
    """The kind whose types are the alternatives of this schema."""
    names = {
        key
        for word in ("anyOf", "oneOf")
        for each in schema.get(word, ())
        if len(each.get("properties", {})) == 1
        for key in each["properties"]
    }
    for kind, (base, _) in KINDS.items():
        if names and names <= set(base.registry):
            return kind
    return None


def configuration_page() -> str:
    """The file as a whole, then every section that is not a plug-in."""
    schema = json_schema()
    plugins = {cls.__name__ for base, _ in KINDS.values() for cls in base.registry.values()}
    parts = [
        "# Configuration",
        INTRODUCTION.rstrip(),
        table(schema),
    ]
    for name, nested in nested_models(schema).items():
        if name not in plugins and reached(name, schema, plugins):
            parts += [
                f"## {name}",
                nested.get("description", ""),
                table({**nested, "$defs": schema["$defs"]}),
            ]
    return "\n\n".join(part for part in parts if part) + "\n"


def reached(name: str, schema: Schema, plugins: set[str]) -> bool:
    """Whether a model is used by something else than the options of a plug-in, whose page explains it."""
    users = {user for user, each in schema["$defs"].items() if user != name and _mentions(each, name)}
    return any(_mentions(each, name) for each in schema["properties"].values()) or bool(users - plugins)
