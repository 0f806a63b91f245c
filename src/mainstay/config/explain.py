"""What is in force: every option with its value, defaults included, and schedules in words."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from mainstay.checks.percent import parse_percent
from mainstay.config.document import Where, spell
from mainstay.config.model import Config
from mainstay.core.plugin import Plugin, Settings
from mainstay.core.schedule import Schedule
from mainstay.core.secret import Secret
from mainstay.core.units import format_duration, format_size, parse_duration, parse_size

_PLAIN = re.compile(r"(?![0-9.+-]+$)[\w./+*-](?:[\w./:@=+*~^$ -]*[\w./@=+*~^$-])?")
_WORDS = frozenset({"true", "false", "null", "~", "-", "*"})


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
    inherited = dict(_inherited(config))
    for line in _settings(config, (), config.timezone):
        yield inherited.get(line.path, line)


def _inherited(config: Config) -> Iterator[tuple[Where, Line]]:
    """Give what checks have from their service or from `watch`: that is in force, and not the default of their type."""
    for name, service in config.services.items():
        whose = f"from services.{name}" if service.every else "from watch"
        for index, check in enumerate(service.checks):
            asked = config.asked(service, check)
            for option in ("every", "timeout"):
                value = getattr(asked, option)
                if value != getattr(check, option):
                    path: Where = ("services", name, "checks", index, option)
                    note = f"{whose}.every" if option == "every" else "no longer than every"
                    yield path, Line(path, format_duration(value), True, note)


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
        if reader is parse_percent:
            return f"{value:g}%"
    if isinstance(value, (list, tuple, set)):
        return f"[{', '.join(_item(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_written(one, None)}' for name, one in value.items())}}}"
    return str(value) if isinstance(value, (str, int, float, Path)) else repr(value)


def _item(value: Any) -> str:
    """Write an item of a list; a text that YAML would read as something else stands in quotes."""
    if isinstance(value, str) and not (_PLAIN.fullmatch(value) and value not in _WORDS):
        return json.dumps(value, ensure_ascii=False)
    return _written(value, None)


def _reader(marks: list[Any]) -> Any:
    """Find the function that reads an option's text: it says whether a number is a duration, a size or a share."""
    for mark in marks:
        if isinstance(mark, BeforeValidator) and mark.func in (parse_duration, parse_size, parse_percent):
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
