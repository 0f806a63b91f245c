"""Certificates of the edge, and their exchange while it works."""

import ssl
from collections.abc import Callable
from pathlib import Path

from mainstay.core.errors import MainstayError
from mainstay.edge.http.settings import TlsSettings

Stamp = tuple[tuple[int, int, int], ...]
"""Of each file: inode, size and time of change."""


class Certificates:
    """The files of one `tls:`."""

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self._stamp: Stamp | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files. Raises `MainstayError` for what is missing, unreadable or does not fit together."""
        self._stamp = self._look()
        settings = self.settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        for path in self._paths():
            _attempt("", path, path.read_bytes)  # a fault of OpenSSL names no file
        _attempt(
            "certificate and key do not fit together, or one of them is no PEM",
            settings.certificate,
            # An empty password: a key that has one is refused instead of asked for at a terminal.
            lambda: context.load_cert_chain(settings.certificate, settings.key, password=""),
        )
        if settings.client_ca is not None:
            authority = settings.client_ca
            _attempt("this holds no certificate", authority, lambda: context.load_verify_locations(authority))
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def changed(self) -> bool:
        """Whether a file is another one than at the last reading; one that is gone is waited for."""
        found = self._look()
        return found is not None and found != self._stamp

    def _paths(self) -> list[Path]:
        given = self.settings
        return [given.certificate, given.key, *([given.client_ca] if given.client_ca else [])]

    def _look(self) -> Stamp | None:
        try:
            stats = [path.stat() for path in self._paths()]
        except OSError:
            return None
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in stats)


def _attempt(what: str, path: Path, action: Callable[[], object]) -> None:
    try:
        action()
    except ssl.SSLError:
        raise MainstayError(f"{path}: {what}", hint="look at the files under edge.tls") from None
    except OSError as fault:
        raise MainstayError(
            f"{path} cannot be read: {fault.strerror}", hint="edge.tls names the files"
        ) from None
