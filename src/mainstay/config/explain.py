"""What is in force: every option with its value, defaults included, and schedules in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from mainstay.config.document import Where, spell
from mainstay.config.model import Config
from mainstay.core.plugin import Plugin, Settings
from mainstay.core.schedule import Schedule
from mainstay.core.secret import Secret
from mainstay.core.units import format_duration, format_size, parse_duration, parse_size


class Line(NamedTuple):
    """One option in force. `value` is empty for what has options below it; `given` says that it stands in the file."""

    path: Where
    value: str
    given: bool
    note: str = ""

    @property
    def name(self) -> str:
        """The option's path in words."""
        return spell(self.path)


def explain(config: Config) -> Iterator[Line]:
    """Give every option in the order of the reference."""
    yield from _settings(config, (), config.timezone)


def _settings(settings: Settings, path: Where, zone: str) -> Iterator[Line]:
    for name, field in type(settings).model_fields.items():
        shown = field.alias or name
        given = name in settings.model_fields_set
        value = getattr(settings, name)
        note = _schedule(settings, name, zone)
        yield from _value(value, (*path, shown), given, zone, field, note)


def _value(
    value: Any, path: Where, given: bool, zone: str, field: FieldInfo | None, note: str = ""
) -> Iterator[Line]:
    if isinstance(value, Plugin):
        yield Line(path, value.type_name, given)
        yield from _settings(value, path, zone)
    elif isinstance(value, Settings):
        yield Line(path, "", given)
        yield from _settings(value, path, zone)
    elif isinstance(value, dict) and any(isinstance(one, Settings) for one in value.values()):
        yield Line(path, "", given)
        for name, one in value.items():
            yield from _value(one, (*path, str(name)), True, zone, None)
    elif isinstance(value, list) and any(isinstance(one, Settings) for one in value):
        yield Line(path, "", given)
        for index, one in enumerate(value):
            yield from _value(one, (*path, index), True, zone, None)
    else:
        yield Line(path, _written(value, field), given, note)


def _written(value: Any, field: FieldInfo | None) -> str:
    if value is None:
        return "-"
    if value == "":
        return "(nothing)"
    if isinstance(value, Secret):
        return value.reveal() if value.inline else f"{{secret: {value.name}}}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)) and field is not None:
        reader = _reader([field.annotation, *field.metadata])
        if reader is parse_duration:
            return format_duration(value)
        if reader is parse_size:
            return format_size(value)
    if isinstance(value, (list, tuple, set)):
        return f"[{', '.join(_written(one, None) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_written(one, None)}' for name, one in value.items())}}}"
    return str(value) if isinstance(value, (str, int, float, Path)) else repr(value)


def _reader(marks: list[Any]) -> Any:
    """Find the function that reads an option's text: it says whether a number is a duration or a size."""
    for mark in marks:
        if isinstance(mark, BeforeValidator) and mark.func in (parse_duration, parse_size):
            return mark.func
        inner = list(get_args(mark)) if get_origin(mark) is not None or get_origin(mark) is Annotated else []
        if inner and (found := _reader(inner)):
            return found
    return None


def _schedule(settings: Settings, name: str, zone: str) -> str:
    if name not in ("at", "every") or getattr(settings, name) is None or not hasattr(settings, "at"):
        return ""
    own = getattr(settings, "timezone", None)
    value = getattr(settings, name)
    return Schedule(**{name: value}, timezone=own or zone).explain() if name == "at" else ""
