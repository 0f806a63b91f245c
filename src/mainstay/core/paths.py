"""Paths in the configuration: relative ones are relative to the file that they stand in."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema


def _from_file(value: Any, info: ValidationInfo) -> Any:
    """Anchor a path at the directory of the file, which the loader gives as `{"directory": ...}`."""
    if not isinstance(value, (str, Path)):
        return value
    if not str(value) or "\0" in str(value):
        raise ValueError("this is not a path; write it like /var/lib/mainstay")
    path = Path(value).expanduser()
    directory: Path | None = (info.context or {}).get("directory")
    return directory / path if directory is not None else path


ConfigPath = Annotated[
    Path,
    Field(strict=False),
    BeforeValidator(_from_file),
    WithJsonSchema({"type": "string", "description": "a path", "examples": ["/var/lib/mainstay"]}),
]
"""A path; relative to the configuration file, `~` is the home directory."""
