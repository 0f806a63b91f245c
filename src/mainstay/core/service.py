"""A service and what runs it."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.secret import Secret


class Process(Settings):
    """A program that mainstay itself starts and restarts; for everything that has no service manager."""

    kind: SkipJsonSchema[Literal["process"]] = "process"
    command: list[str] = Field(min_length=1)
    """Program and arguments; no shell is involved."""
    directory: ConfigPath | None = None
    """Working directory; that of the configuration file when left out."""
    env: dict[str, str | Secret] = {}
    """Environment variables besides the inherited ones, among which mainstay's own are not."""
    user: str | None = None
    """Account to run as; mainstay's own when left out."""


class Unit(Settings):
    """A unit of systemd, a container of Docker or a service of Docker Swarm."""

    kind: Literal["systemd", "docker", "swarm"]
    name: str


_FORMS = "write systemd:UNIT, docker:NAME, swarm:NAME or {process: {command: [PROGRAM, ARGUMENT]}}"


def _parse(value: Any) -> Any:
    if isinstance(value, str):
        found = re.fullmatch(r"(systemd|docker|swarm):([A-Za-z0-9][\w.@:\\-]*)", value)
        if not found:
            raise ValueError(f"{value!r} runs nothing; {_FORMS}")
        return {"kind": found[1], "name": found[2]}
    if isinstance(value, dict) and set(value) == {"process"} and isinstance(value["process"], (dict, list)):
        options = value["process"]
        return {"kind": "process", **(options if isinstance(options, dict) else {"command": options})}
    if isinstance(value, dict) and "kind" not in value:
        raise ValueError(f"this says nothing that can be run; {_FORMS}")
    return value


_NAMED = r"^(systemd|docker|swarm):[A-Za-z0-9][\w.@:\\-]*$"


class ProcessForm(Settings):
    """How a process is written."""

    process: Process | list[str]
    """Its options, or only its command."""


_Written = (
    Annotated[str, Field(pattern=_NAMED, examples=["systemd:odoo", "docker:api", "swarm:odoo_web"])]
    | ProcessForm
)

RunsOn = Annotated[
    Annotated[Process | Unit, Field(discriminator="kind")],
    BeforeValidator(_parse, json_schema_input_type=_Written),
]
"""What runs a service: `systemd:UNIT`, `docker:NAME`, `swarm:NAME` or `{process: {command: [...]}}`."""
