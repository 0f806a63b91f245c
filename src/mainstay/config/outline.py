"""The few facts that commands need which only look: kept beside the validated file, so that they start fast.

Validating a file costs ten times as much as reading the journal. A file that was found valid once needs no second
look, so its facts are kept in the cache directory under the hash of its text. No secret is ever among them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay import __version__
from mainstay.config.places import journal_url
from mainstay.core.errors import ConfigError
from mainstay.readiness.setup import Setup

if TYPE_CHECKING:
    from mainstay.config.model import Config

LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Outline:
    """What is configured and where the journal is. `journal` is its URL, or the name of the secret that holds it."""

    file: Path
    setup: Setup
    timezone: str
    state_dir: Path
    journal: str
    journal_is_secret: bool

    def journal_url(self) -> str:
        """Give the journal's URL; it may hold a password. Raises `ConfigError` when its secret is missing."""
        if not self.journal_is_secret:
            return self.journal
        from mainstay.config.secrets import Secrets

        try:
            value = Secrets()(self.journal)
        except LookupError as missing:
            what, _, remedy = str(missing.args[0]).partition("; ")
            raise ConfigError(what, where=f"{self.file}: journal", hint=remedy or None) from None
        return journal_url(value, self.file.parent, self.state_dir)


def outline(path: Path, environ: Mapping[str, str] | None = None) -> Outline:
    """Give the outline of a file, from the cache if it is the very file that was validated before.

    Raises `ConfigError` as `load` does.
    """
    environ = os.environ if environ is None else environ
    file = path.absolute()
    key = _key(file, environ)
    cached = _cache(file, environ)
    if key and cached and (found := _read(cached, key, file)):
        return found
    from mainstay.config.load import load

    made = of(load(path, secrets=False, environ=environ))
    if key and cached:
        _write(cached, key, made)
    return made


def of(config: "Config") -> Outline:
    """Give the outline of a loaded configuration."""
    from mainstay.config.facts import setup

    journal = config.journal
    secret = journal is not None and not journal.inline
    return Outline(
        file=config.file,
        setup=setup(config),
        timezone=config.timezone,
        state_dir=config.state_dir,
        journal=journal.name if journal is not None and secret else config.journal_url,
        journal_is_secret=secret,
    )


def _key(file: Path, environ: Mapping[str, str]) -> str | None:
    """Hash everything that the outline depends on: the text, its place, this version, the defaults of `state_dir`."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1)
    except OSError:
        return None  # `load` says what is wrong
    around = [__version__, str(file), str(os.geteuid())]
    around += [environ.get(name, "") for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME")]
    return hashlib.sha256("\0".join(around).encode() + b"\0" + text).hexdigest()


def _cache(file: Path, environ: Mapping[str, str]) -> Path | None:
    base = environ.get("XDG_CACHE_HOME") or (environ.get("HOME") and f"{environ['HOME']}/.cache")
    if not base:
        return None
    return Path(base) / "mainstay" / f"{hashlib.sha256(str(file).encode()).hexdigest()[:16]}.json"


def _read(cached: Path, key: str, file: Path) -> Outline | None:
    try:
        data = json.loads(cached.read_bytes())
        if data["key"] != key:
            return None
        return Outline(
            file=file,
            setup=Setup.from_json(data["setup"]),
            timezone=data["timezone"],
            state_dir=Path(data["state_dir"]),
            journal=data["journal"],
            journal_is_secret=data["journal_is_secret"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(cached: Path, key: str, made: Outline) -> None:
    data: dict[str, Any] = {
        "key": key,
        "setup": made.setup.to_json(),
        "timezone": made.timezone,
        "state_dir": str(made.state_dir),
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
