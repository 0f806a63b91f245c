"""A mapping from names to plug-ins, in which a name that is a type needs no further word."""

from collections.abc import Collection
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mainstay.core.plugin import Plugin, Tagged


class Named:
    """Annotation for `dict[str, PLUGIN]`.

    Under a key that is the name of a type stand that type's options (`slack: {url: ...}`); under any other name
    stands `{TYPE: options}` (`ops_channel: {slack: {url: ...}}`). The types in `without` may not be written here.
    """

    def __init__(self, base: type[Plugin], without: Collection[str] = ()) -> None:
        self.base = base
        self.without = frozenset(without)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        plugin = Tagged(self.base, self.without).__get_pydantic_core_schema__(self.base, handler)
        mapping = core_schema.dict_schema(core_schema.str_schema(), plugin)
        return core_schema.no_info_before_validator_function(self._spell_out, mapping)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        made = handler(schema)
        told = made.get("additionalProperties", {})
        properties: dict[str, Any] = {}
        for choices in told.get("anyOf", [told]):
            for choice in choices.get("oneOf", [choices]):
                properties |= choice.get("properties", {})
        return {**made, "properties": properties}

    def _is_type(self, name: str) -> bool:
        return name in self.base.registry and name not in self.without

    def _spell_out(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: {name: options} if self._is_type(name) and not isinstance(options, self.base) else options
            for name, options in value.items()
        }
