"""What checks, jobs, notifiers and storage backends have in common: one frozen model, one file, one registry."""

from collections.abc import Collection
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Settings(BaseModel):
    """Base of everything that is read from `mainstay.yaml`: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Plugin(Settings):
    """A thing with a type name and options.

    A *kind* (Check, Job, Notifier, Objects) is a direct subclass made with `kind=...`; a *type* subclasses a
    kind with `type=...`, which registers it in the configuration, the JSON schema, the reference pages and the
    contract tests. `shorthand` names the option that a bare value sets: `http: https://example.com/`.
    """

    kind: ClassVar[str] = ""
    type_name: ClassVar[str] = ""
    shorthand: ClassVar[str | None] = None
    registry: ClassVar[dict[str, type[Any]]] = {}

    def __init_subclass__(
        cls, *, kind: str | None = None, type: str | None = None, shorthand: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind
            cls.registry = {}
        if type is not None:
            cls.type_name = type
            cls.shorthand = shorthand
            cls.registry[type] = cls


class Tagged:
    """Annotation for a field that holds one plug-in, written `{TYPE: options}`.

    `Annotated[Check, Tagged(Check)]` accepts `{http: {url: ...}}`, `{http: https://...}` and a bare `docker`
    for a type without required options. A type whose shorthand is called like the type itself may have its options
    beside it: `{command: [...], at: ...}`. The types are those registered when the schema is built, but for those
    named in `without`.
    """

    def __init__(self, base: type[Plugin], without: Collection[str] = ()) -> None:
        self.base = base
        self.without = frozenset(without)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {
            name: self._choice(name, cls, handler)
            for name, cls in sorted(self.base.registry.items())
            if name not in self.without
        }
        union = core_schema.tagged_union_schema(
            choices,
            discriminator=self._tag,
            custom_error_type="plugin_type",
            custom_error_message=f"not a {self.base.kind}; known types: {', '.join(choices)}",
        )
        inner = core_schema.no_info_after_validator_function(
            lambda value: next(iter(value.values())) if isinstance(value, dict) else value, union
        )
        accepted = core_schema.no_info_wrap_validator_function(
            lambda value, validate: value if isinstance(value, self.base) else validate(self._spread(value)),
            inner,
        )
        flat = [handler.generate_schema(self.base.registry[name]) for name in choices if self._is_flat(name)]
        told = core_schema.union_schema([inner, *flat]) if flat else inner
        return core_schema.json_or_python_schema(told, accepted)

    def _spread(self, value: Any) -> Any:
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, dict) and len(value) == 1:
            (name, options), *_ = value.items()
            return {name: {} if options is None else options}
        if isinstance(value, dict) and (found := [name for name in value if self._is_flat(name)]):
            return {found[0]: value}
        return value

    def _is_flat(self, name: Any) -> bool:
        known = self.base.registry.get(name) if isinstance(name, str) and name not in self.without else None
        return known is not None and known.shorthand == name

    def _tag(self, value: Any) -> str | None:
        if isinstance(value, dict) and len(value) == 1:
            return str(next(iter(value)))
        return None

    def _choice(self, name: str, cls: type[Plugin], handler: GetCoreSchemaHandler) -> CoreSchema:
        model = handler.generate_schema(cls)
        schema = model
        if cls.shorthand is not None:
            field = cls.model_fields[cls.shorthand]
            bare = handler.generate_schema(field.rebuild_annotation())
            schema = core_schema.no_info_before_validator_function(
                _expander(cls.shorthand),
                model,
                json_schema_input_schema=core_schema.union_schema([model, bare]),
            )
        return core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(schema)}, extra_behavior="forbid"
        )


def _expander(shorthand: str) -> Any:
    def expand(value: Any) -> Any:
        is_secret = isinstance(value, dict) and set(value) == {"secret"}
        return value if isinstance(value, dict) and not is_secret else {shorthand: value}

    return expand
