"""Where secret values come from: files that the service manager hands over, then the environment."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

Warn = Callable[[str], None]

LARGEST_SECRET = 64_000


class Secrets:
    """Resolves names: `$CREDENTIALS_DIRECTORY/NAME`, the file in `MAINSTAY_NAME_FILE`, then `MAINSTAY_NAME`.

    An instance is a `core.secret.Resolver`. The first place that exists decides; a trailing line end is not part of
    the value. `warn` is told, once per file, of files that others may read.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, warn: Warn | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.warn = warn or (lambda message: None)
        self._warned: set[Path] = set()

    def __call__(self, name: str) -> str:
        """Give the value. Raises `LookupError` with a sentence and a remedy when there is none."""
        return self.find(name)[0]

    def find(self, name: str) -> tuple[str, str]:
        """Give the value and, in words, where it was found."""
        variable = f"MAINSTAY_{name.upper()}"
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        if directory and _is_there(path := Path(directory) / name):
            return self._read(name, path), str(path)
        if named := self.environ.get(f"{variable}_FILE"):
            return self._read(name, Path(named)), named
        if variable in self.environ:
            value = self.environ[variable].rstrip("\r\n")
            if not value:
                raise LookupError(f"secret {name} is empty; {variable} is set to nothing")
            return value, f"the variable {variable}"
        raise LookupError(
            f"secret {name} is missing; put it into $CREDENTIALS_DIRECTORY/{name}, "
            f"into the file named by {variable}_FILE or into {variable}"
        )

    def _read(self, name: str, path: Path) -> str:
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                raw = file.read(LARGEST_SECRET + 1)
        except OSError as fault:
            reason = (fault.strerror or "it cannot be read").lower()
            raise LookupError(
                f"secret {name} cannot be read from {path}: {reason}; check the path and its owner"
            ) from None
        if len(raw) > LARGEST_SECRET:
            raise LookupError(f"secret {name}: {path} is larger than {LARGEST_SECRET} bytes; check the path")
        self._look_at(name, path, mode)
        try:
            value = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise LookupError(f"secret {name}: {path} is not text; save it as UTF-8") from None
        if not value:
            raise LookupError(f"secret {name} is empty; {path} has nothing in it")
        return value

    def _look_at(self, name: str, path: Path, mode: int) -> None:
        if mode & stat.S_IROTH and path not in self._warned:
            self._warned.add(path)
            self.warn(f"everybody on this machine can read secret {name} (hint: chmod 600 {path})")


def _is_there(path: Path) -> bool:
    """Whether there is something to read; what may not even be looked at is there, and reading it says why not."""
    try:
        return path.exists()
    except OSError:
        return True
