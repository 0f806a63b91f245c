"""Certbot, driven as a program: it gets a certificate, and that is all it does for us.

When to renew, what to reload and whether it is served is ours: certbot ends with exit code 0 when a deploy hook fails.
"""

import fcntl
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mainstay.certs.pem import Pair, pair
from mainstay.certs.program import hear
from mainstay.certs.settings import TOKENS, CertificateSettings, DnsCommand
from mainstay.core import crash
from mainstay.core.errors import MainstayError
from mainstay.core.listen import split
from mainstay.core.secret import Secret
from mainstay.ports.clock import Clock

WITHIN = 600.0
"""Seconds for one order; DNS records may take minutes to be seen."""
LOOK = 0.2
OURS = (sys.executable, "-I", "-c", "from certbot.main import main; raise SystemExit(main())")
RETRY_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)")
LIMITED = re.compile(
    r"rateLimited|too many (requests|certificates|failed|new orders|registrations|currently)", re.IGNORECASE
)
NOISE = re.compile(
    r"^(Saving debug log|Ask for help|See the logfile|- - -|Requesting a certificate|Renewing an existing"
    r"|Account registered|Some challenges have failed|Hint: |An unexpected error occurred|Certbot failed to auth"
    r"|Plugins selected|Certificate not yet due|Simulating)"
)


class OrderFailed(MainstayError):
    """The authority gave no certificate. `retry_at` is its own wish, seconds since 1970; `limited` a rate limit."""

    def __init__(self, what: str, *, retry_at: float | None = None, limited: bool = False) -> None:
        super().__init__(what)
        self.retry_at = retry_at
        self.limited = limited


@dataclass(frozen=True)
class Certbot:
    """Keeps accounts, orders and logs in `directory`, apart from any other certbot's on this machine."""

    directory: Path
    clock: Clock

    def issued(self, settings: CertificateSettings) -> Pair | None:
        """Give the last certificate that was issued, put in place or not."""
        place = self.directory / "config" / "live" / settings.called
        try:
            return pair(
                (place / "fullchain.pem").read_bytes(), (place / "privkey.pem").read_bytes(), str(place)
            )
        except (OSError, MainstayError):
            return None

    async def order(self, settings: CertificateSettings, log: Callable[[str], None]) -> Pair:
        """Get a new certificate, whatever there is already. Raises `OrderFailed`."""
        argv_start = program(settings)
        async with self._alone():
            with self._private(settings) as private:
                argv = [*argv_start, *self._arguments(settings, private)]
                bundle = {"REQUESTS_CA_BUNDLE": str(settings.server_ca)} if settings.server_ca else {}
                code, text = await hear(argv, within=WITHIN, env=bundle)
        for line in _told(text):
            log(f"certbot: {line}")
        if code != 0:
            raise _failure(text, code)
        crash.point("certs.ordered")
        found = self.issued(settings)
        if found is None:
            raise OrderFailed(f"certbot said that all went well, but left no certificate {settings.called}")
        return found

    def _arguments(self, settings: CertificateSettings, private: Path) -> list[str]:
        """Give certbot's arguments; what is secret stands in files below `private`."""
        place = self.directory
        return [
            "certonly", "--config", str(private / "cli.ini"), "--non-interactive", "--agree-tos",
            "--config-dir", str(place / "config"), "--work-dir", str(place / "work"), "--logs-dir", str(place / "logs"),
            "--max-log-backups", "20", "--no-random-sleep-on-renew", "--no-directory-hooks",
            "--cert-name", settings.called, "--force-renewal", "--renew-with-new-domains",
            "--key-type", settings.key_type, "--server", settings.server,
            *(["--email", settings.email] if settings.email else ["--register-unsafely-without-email"]),
            "--no-eff-email",
            *(["--required-profile", settings.profile] if settings.profile else []),
            *_challenge(settings, private),
            *(part for name in settings.names for part in ("--domain", name)),
        ]  # fmt: skip

    @contextmanager
    def _private(self, settings: CertificateSettings) -> Iterator[Path]:
        """Give a directory for our eyes only with what must not be seen in a list of processes."""
        place = self.directory / "private"
        shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
        try:
            place.mkdir(parents=True, mode=0o700)
            lines = []
            if settings.eab_kid and settings.eab_hmac:
                lines = [f"eab-kid = {settings.eab_kid}", f"eab-hmac-key = {settings.eab_hmac.reveal()}"]
            _write(place / "cli.ini", lines)
            _write(place / "credentials.ini", _credentials(settings))
        except OSError as fault:
            raise MainstayError(
                f"{place}: {fault.strerror or fault}", hint="look at its owner and its disk"
            ) from None
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Wait until no other order of ours is under way: certbot refuses to work beside another."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise MainstayError(
                f"{self.directory}: {fault.strerror or fault}", hint="look at its owner"
            ) from None
        try:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                await self.clock.sleep(LOOK)
            yield
        finally:
            os.close(lock)


def program(settings: CertificateSettings) -> Sequence[str]:
    """Give the certbot that can do it: the one that was named, ours, or the system's."""
    if settings.certbot is not None:
        return [str(settings.certbot)]
    from importlib.metadata import entry_points

    plugin = f"dns-{settings.dns}" if isinstance(settings.dns, str) else "manual"
    if any(each.name == plugin for each in entry_points(group="certbot.plugins")):
        return OURS
    if found := shutil.which("certbot"):
        return [found]
    raise MainstayError(
        f"certbot's plug-in for {settings.dns} is not installed",
        hint=f"install certbot-dns-{settings.dns} beside mainstay, or the system's certbot and its plug-in",
    )


def _challenge(settings: CertificateSettings, private: Path) -> list[str]:
    if isinstance(settings.dns, DnsCommand):
        cleanup = ["--manual-cleanup-hook", shlex.join(settings.dns.cleanup)] if settings.dns.cleanup else []
        hook = ["--manual-auth-hook", shlex.join(settings.dns.command)]
        return ["--manual", "--preferred-challenges", "dns", *hook, *cleanup]
    if settings.dns is not None:
        option = f"--dns-{settings.dns}"
        wait = settings.propagation
        return [
            option,
            *([f"{option}-credentials", str(private / "credentials.ini")] if settings.credentials else []),
            *([f"{option}-propagation-seconds", f"{wait:.0f}"] if wait is not None else []),
        ]
    if settings.webroot is not None:
        return ["--webroot", "--webroot-path", str(settings.webroot)]
    host, port = split(settings.listen)
    address = ["--http-01-address", host] if host else []
    return ["--standalone", "--preferred-challenges", "http", "--http-01-port", str(port), *address]


def _credentials(settings: CertificateSettings) -> list[str]:
    given = settings.credentials
    if isinstance(given, Secret) and isinstance(settings.dns, str):
        given = {TOKENS[settings.dns]: given}
    if not isinstance(given, dict):
        return []
    return [
        f"{key} = {value.reveal() if isinstance(value, Secret) else value}" for key, value in given.items()
    ]


def _write(file: Path, lines: Sequence[str]) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as opened:
        opened.writelines(f"{line}\n" for line in lines)


def _told(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not NOISE.match(line)]


def _failure(text: str, code: int) -> OrderFailed:
    """Say why there is no certificate, and from when on the authority may be asked again."""
    said = " ".join(_told(text))[-600:] or f"certbot ended with exit code {code}"
    again = RETRY_AFTER.search(text)
    at = datetime.fromisoformat(again[1]).replace(tzinfo=UTC).timestamp() if again else None
    return OrderFailed(f"no certificate was issued: {said}", retry_at=at, limited=bool(LIMITED.search(text)))
