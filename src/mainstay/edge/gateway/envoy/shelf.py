"""The directory of a running Envoy: its files, and which ways it is known to carry on."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.edge.gateway.envoy.plan import WATCHED, Resource, bootstrap
from mainstay.ports.clock import Clock

DIRECTORY = "envoy"
"""Its name, below `state_dir`."""
KNOWN = "known.json"
LONGEST_SOCKET = 100
"""Letters of a socket's path; systems take about as many."""
LOOK_EVERY = 0.05
KNOWS_WITHIN = 10.0
"""Seconds that a new policy waits for Envoy to know its ways."""
SETTLES_IN = 0.3
"""Seconds that a request may take from Envoy's taking it up to the question about it: it knows the ways of before."""


class Shelf:
    """Writes the files; each is put in its place as a whole, which is when Envoy reads it."""

    def __init__(self, directory: Path) -> None:
        """Raises `MainstayError` when nothing can be written there."""
        self.directory = directory
        self.version = 0
        if len(str(self.socket)) > LONGEST_SOCKET:
            raise MainstayError(
                f"{self.socket} is too long for a socket, which Envoy needs",
                hint="choose a shorter state_dir",
            )
        try:
            (directory / WATCHED).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as fault:
            raise _unwritten(directory, fault) from None
        self._put("bootstrap.json", bootstrap(directory))

    @property
    def socket(self) -> Path:
        """Where Envoy is asked how it is."""
        return self.directory / "admin.sock"

    def put(self, kind: str, resources: list[Resource]) -> None:
        """Write one kind of resources, by the version of now."""
        self._put(f"{kind}.json", {"version_info": str(self.version), "resources": resources})

    def renew_certificates(self) -> None:
        """Have Envoy read the certificates again."""
        self._put(f"{WATCHED}/renewed", {})

    def tell(self, marks: Iterable[str]) -> None:
        """Let the edge know which ways Envoy knows."""
        self._put(KNOWN, sorted(marks))

    def _put(self, name: str, content: Any) -> None:
        path = self.directory / name
        draft = self.directory / f".{path.name}.new"
        try:
            draft.write_text(json.dumps(content, indent=1) + "\n")
            draft.replace(path)
        except OSError as fault:
            raise _unwritten(path, fault) from None


def _unwritten(path: Path, fault: OSError) -> MainstayError:
    return MainstayError(
        f"{path}: {fault.strerror or fault}", hint="Envoy's configuration is kept there; make room"
    )


def known(directory: Path) -> frozenset[str]:
    """Give the marks of the ways that Envoy knows."""
    try:
        return frozenset(json.loads((directory / KNOWN).read_text()))
    except (OSError, ValueError):
        return frozenset()


async def knows(directory: Path, marks: Iterable[str], clock: Clock) -> bool:
    """Wait until Envoy knows all of these ways; False when it does not in time."""
    wanted = frozenset(marks)
    if wanted <= known(directory):
        return True
    until = clock.monotonic() + KNOWS_WITHIN
    while clock.monotonic() < until:
        await clock.sleep(LOOK_EVERY)
        if wanted <= known(directory):
            await clock.sleep(SETTLES_IN)
            return True
    return False
