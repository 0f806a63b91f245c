"""The few facts that commands need which only look: kept beside the validated file, so that they start fast.

Validating a file costs ten times as much as reading the journal. A file that was found valid once needs no second
look, so its facts are kept in the cache directory together with its text. No secret is ever among them.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstay import __version__
from mainstay.core.errors import ConfigError
from mainstay.readiness.setup import Setup

if TYPE_CHECKING:
    from mainstay.config.model import Config

LARGEST = 1_000_000


class Outline(NamedTuple):
    """What is configured and where the journal is.

    `journal_file` is its file; without one, `journal` is its URL, or with `journal_is_secret` the name of the secret
    that holds the URL.
    """

    file: Path
    setup: Setup
    timezone: str
    state_dir: Path
    journal_file: Path | None = None
    journal: str = ""
    journal_is_secret: bool = False

    def journal_url(self) -> str:
        """Give the journal's URL; it may hold a password. Raises `ConfigError` when its secret is missing."""
        from mainstay.config.places import journal_url
        from mainstay.config.secrets import Secrets

        if not self.journal_is_secret:
            return self.journal

        try:
            value = Secrets()(self.journal)
        except LookupError as missing:
            what, _, remedy = str(missing.args[0]).partition("; ")
            raise ConfigError(what, where=f"{self.file}: journal", hint=remedy or None) from None
        return journal_url(value, self.file.parent, self.state_dir)


def outline(
    path: Path, environ: Mapping[str, str] | None = None, warn: Callable[[str], None] | None = None
) -> Outline:
    """Give the outline of a file, from the cache if it is the very file that was validated before.

    With `warn`, a wrong file gives the outline of when it was last right, as a running mainstay goes by that, too; the
    fault is told to `warn`. Raises `ConfigError` as `load` does.
    """
    environ = os.environ if environ is None else environ
    file = path.absolute()
    key = _key(file, environ)
    cached = _cache(file, environ)
    if key and cached and (found := _read(cached, key, file)):
        return found
    from mainstay.config.load import load

    try:
        made = of(load(path, secrets=False, environ=environ))
    except ConfigError as fault:
        before = _read(cached, None, file) if cached and warn and key else None
        if before is None or warn is None:
            raise
        warn(f"{_first(fault)}\nuntil that is mended, the file counts as it last was right")
        return before
    if key and cached:
        _write(cached, key, made)
    return made


def _first(fault: ConfigError) -> str:
    """Say one fault and how many more there are: whoever looks at an outage wants to see that first."""
    problems = getattr(fault, "problems", (fault,))
    more = f"\nand {len(problems) - 1} more: mainstay config check" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def of(config: "Config") -> Outline:
    """Give the outline of a loaded configuration."""
    from mainstay.config.facts import setup
    from mainstay.store.open import sqlite_path

    written = config.journal
    made = Outline(config.file, setup(config), config.timezone, config.state_dir)
    if written is not None and not written.inline:
        return made._replace(journal=written.name, journal_is_secret=True)
    url = config.journal_url
    return made._replace(journal_file=sqlite_path(url) if url.startswith("sqlite:") else None, journal=url)


def _key(file: Path, environ: Mapping[str, str]) -> list[str] | None:
    """Give everything that the outline depends on: the text, its place, this version, the defaults of `state_dir`."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1).decode()
    except (OSError, ValueError):
        return None  # `load` says what is wrong
    around = [environ.get(name, "") for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME")]
    return [__version__, str(file), str(os.geteuid()), *around, text]


def _cache(file: Path, environ: Mapping[str, str]) -> Path | None:
    base = environ.get("XDG_CACHE_HOME") or (environ.get("HOME") and f"{environ['HOME']}/.cache")
    name = str(file).replace("%", "%25").replace("/", "%")
    return Path(base) / "mainstay" / f"{name[-200:]}.json" if base else None


def _read(cached: Path, key: list[str] | None, file: Path) -> Outline | None:
    """Give what was kept for this file; without a key, for whatever text it had under this version."""
    try:
        data = json.loads(cached.read_bytes())
        here = [__version__, str(file)]
        if data["key"] != key and (key is not None or data["key"][:2] != here):
            return None
        journal_file = data["journal_file"]
        return Outline(
            file=file,
            setup=Setup.from_json(data["setup"]),
            timezone=data["timezone"],
            state_dir=Path(data["state_dir"]),
            journal_file=Path(journal_file) if journal_file else None,
            journal=data["journal"],
            journal_is_secret=data["journal_is_secret"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(cached: Path, key: list[str], made: Outline) -> None:
    data: dict[str, Any] = {
        "key": key,
        "setup": made.setup.to_json(),
        "timezone": made.timezone,
        "state_dir": str(made.state_dir),
        "journal_file": str(made.journal_file) if made.journal_file else None,
        "journal": made.journal,
        "journal_is_secret": made.journal_is_secret,
    }
    draft = cached.with_name(f"{cached.name}.{os.getpid()}")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.write_text(json.dumps(data), "utf-8")
        draft.chmod(0o600)
        draft.replace(cached)
    except OSError:
        draft.unlink(missing_ok=True)  # a cache that cannot be written only costs time
