"""A mapping from names to plug-ins, in which a name that is a type needs no further word."""

from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mainstay.core.plugin import Plugin, Tagged


class Named:
    """Annotation for `dict[str, PLUGIN]`.

    Under a key that is the name of a type stand that type's options (`slack: {url: ...}`); under any other name
    stands `{TYPE: options}` (`ops_channel: {slack: {url: ...}}`).
    """

    def __init__(self, base: type[Plugin]) -> None:
        self.base = base

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        plugin: CoreSchema = core_schema.is_instance_schema(self.base)
        if self.base.registry:
            plugin = Tagged(self.base).__get_pydantic_core_schema__(self.base, handler)
        mapping = core_schema.dict_schema(core_schema.str_schema(), plugin)
        return core_schema.no_info_before_validator_function(self._spell_out, mapping)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if not self.base.registry:
            return {"type": "object", "maxProperties": 0}
        made = handler(schema)
        choices = made.get("additionalProperties", {})
        properties: dict[str, Any] = {}
        for choice in choices.get("oneOf", [choices]):
            properties |= choice.get("properties", {})
        return {**made, "properties": properties}

    def _spell_out(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: {name: options}
            if name in self.base.registry and not isinstance(options, self.base)
            else options
            for name, options in value.items()
        }
