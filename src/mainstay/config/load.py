"""Loads `mainstay.yaml`: read, validate, cross-check; every fault of the file at once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.config.secrets import Secrets, Warn
from mainstay.core.errors import ConfigError

if TYPE_CHECKING:
    from mainstay.config.document import Document
    from mainstay.config.model import Config

PLACES = ("mainstay.yaml", "/etc/mainstay/mainstay.yaml")


def find(given: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Give the configuration file: the given one, `$MAINSTAY_CONFIG`, ./mainstay.yaml or the one under /etc.

    Raises `ConfigError` when there is none.
    """
    named = given or (os.environ if environ is None else environ).get("MAINSTAY_CONFIG")
    if named:
        return Path(named)
    for place in PLACES:
        if Path(place).exists():
            return Path(place)
    raise ConfigError(
        "there is no mainstay.yaml here nor in /etc/mainstay",
        hint="mainstay init writes one; or name it with --config",
    )


def load(
    path: str | os.PathLike[str],
    *,
    secrets: bool = True,
    environ: Mapping[str, str] | None = None,
    warn: Warn | None = None,
) -> "Config":
    """Give the configuration in a file.

    With `secrets=False` no secret is looked up, so that a file can be checked on a machine that has none. `warn` is
    told of secret files that others can read; the log is, when it is left out. Raises `ConfigError`; `ConfigProblems`
    has one for every fault.
    """
    import logging

    from mainstay.config.document import read

    file = Path(path)
    resolver = Secrets(environ, warn or logging.getLogger(__name__).warning) if secrets else None
    return build(read(file, str(path)), file.absolute(), resolver)


def build(document: "Document", file: Path, resolver: Secrets | None) -> "Config":
    """Give the configuration in a document that was read from `file`. Raises `ConfigProblems`."""
    from pydantic import ValidationError

    from mainstay.config.cross import problems
    from mainstay.config.model import Config
    from mainstay.config.problems import ConfigProblems, collect

    context = {"resolve": resolver, "directory": file.parent}
    try:
        config = Config.model_validate(document.data, context=context)
    except ValidationError as fault:
        raise collect(document, fault.errors()) from None
    config.remember(file)
    found = sorted(problems(config), key=lambda problem: document.line(problem.path))
    if found:
        raise ConfigProblems(
            ConfigError(problem.what, where=document.where(problem.path), hint=problem.hint)
            for problem in found
        )
    return config
