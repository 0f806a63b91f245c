"""The options under `heal:` of a service."""

from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mainstay.core.plugin import Settings
from mainstay.core.units import Duration, format_duration


class RestartSettings(Settings):
    """Restart what runs the service, a bounded number of times, and look whether it helped."""

    attempts: int = Field(default=3, ge=1, le=20)
    """At most this many restarts within `window`; then people are called."""
    window: Duration = 600.0
    """The time in which attempts are counted."""
    cooldown: Duration = 30.0
    """The least time between two attempts; it doubles with each."""
    confirm: int = Field(default=2, ge=1, le=20)
    """So many good answers in a row show that it helped."""
    within: Duration = 60.0
    """The time in which they must come after a restart."""
    enabled: bool = True
    """Whether it acts; when false it only writes down what it would have done."""


class HealSettings(Settings):
    """What is done when a confirmed failure opens an incident: `heal: restart`, or `{restart: {attempts: 3}}`."""

    restart: RestartSettings
    """Restart it."""

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, value: Any) -> Any:
        if value == "restart":
            return {"restart": {}}
        if isinstance(value, dict) and value.get("restart", 0) is None:
            return {**value, "restart": {}}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(schema)
        return {"anyOf": [{"const": "restart", "description": "restart it, with sane guards"}, made]}

    @property
    def attempts(self) -> int:
        """How many attempts there are before people are called."""
        return self.restart.attempts

    def explain(self) -> str:
        """Say in words what is done."""
        if not self.restart.enabled:
            return "restart, switched off"
        window = format_duration(self.restart.window)
        return f"restart, at most {self.restart.attempts} times in {window}, then call people"
