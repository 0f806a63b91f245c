"""Looks at a machine for what mainstay can watch. It only looks: nothing is changed, nothing waits long."""

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 3.0
"""Seconds that any single question may take."""

_REAL_DISKS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "apfs", "overlay"}
_NOT_OURS = re.compile(r"^/(boot|snap|run|proc|sys|dev|etc|var/lib/(docker|containers))(/|$)")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server: `directory` of its socket, if we may use it, and its databases."""

    port: int
    directory: str | None = None
    databases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """A running container and the TCP ports that it publishes on this machine."""

    name: str
    image: str
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """A server block of nginx: its name, and whether it speaks TLS."""

    name: str
    tls: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was found."""

    host: str
    postgres: tuple[Postgres, ...] = ()
    redis: tuple[str, ...] = ()
    containers: tuple[Container, ...] = ()
    sites: tuple[Site, ...] = ()
    units: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()


class Machine:
    """How the machine is asked. `root` is where its files are; tests give a directory of their own."""

    def __init__(self, root: Path = Path("/"), redis_ports: Sequence[int] = (6379,)) -> None:
        self.root = root
        self.redis_ports = redis_ports

    def run(self, *command: str) -> str | None:
        """Give what a program says, None when it is not there, fails or takes long."""
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=True,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout

    def at(self, path: str) -> Path:
        """Give the place of an absolute path."""
        return self.root / path.lstrip("/")


def discover(machine: Machine, tell: Callable[[str], None] = lambda what: None) -> Found:
    """Look at everything; `tell` is told what is being looked at."""
    tell("PostgreSQL")
    postgres = tuple(find_postgres(machine))
    tell("Redis")
    redis = tuple(find_redis(machine))
    tell("Docker")
    containers = tuple(find_containers(machine))
    tell("nginx")
    sites = tuple(find_sites(machine))
    tell("systemd")
    units = tuple(find_units(machine))
    disks = tuple(find_disks(machine))
    return Found(socket.gethostname(), postgres, redis, containers, sites, units, disks)


def find_postgres(machine: Machine) -> Iterator[Postgres]:
    """Find PostgreSQL by its sockets; list its databases where this account may."""
    for directory in ("/run/postgresql", "/var/run/postgresql", "/tmp"):  # noqa: S108 - where servers put it
        sockets = sorted(machine.at(directory).glob(".s.PGSQL.*[0-9]"))
        for path in sockets:
            yield _postgres(int(path.suffix.removeprefix(".")), str(path.parent))
        if sockets:
            return
    if listens("127.0.0.1", 5432):
        yield Postgres(5432)


def _postgres(port: int, directory: str) -> Postgres:
    import psycopg

    try:
        with psycopg.connect(
            host=directory, port=port, dbname="postgres", connect_timeout=int(PATIENCE), autocommit=True
        ) as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
            ).fetchall()
    except psycopg.Error:
        return Postgres(port)
    names = [row[0] for row in rows if row[0] != "postgres"]
    return Postgres(port, directory, tuple(names or ["postgres"]))


def find_redis(machine: Machine) -> Iterator[str]:
    """Find Redis by asking the usual port and sockets for a PING."""
    for port in machine.redis_ports:
        if speaks_redis((socket.AF_INET, ("127.0.0.1", port))):
            yield f"redis://127.0.0.1:{port}"
    for path in sorted(machine.at("/run/redis").glob("*.sock")):
        if speaks_redis((socket.AF_UNIX, str(path))):
            yield f"unix://{path}"


def speaks_redis(address: tuple[int, object]) -> bool:
    """Say whether a Redis answers there, be it with a wish for a password."""
    family, place = address
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(PATIENCE)
        try:
            link.connect(place)  # type: ignore[arg-type]
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def listens(host: str, port: int) -> bool:
    """Say whether anybody accepts connections there."""
    try:
        with socket.create_connection((host, port), PATIENCE):
            return True
    except OSError:
        return False


def speaks_http(port: int) -> bool:
    """Say whether a web server answers on a port of this machine."""
    import http.client

    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        link.request("GET", "/")
        return link.getresponse().status > 0
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def find_containers(machine: Machine) -> Iterator[Container]:
    """Find running containers by asking the docker command."""
    for line in (machine.run("docker", "ps", "--format", "{{json .}}") or "").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        ports = {int(port) for port in re.findall(r":(\d+)->\d+/tcp", row.get("Ports", ""))}
        yield Container(row["Names"].split(",")[0], row.get("Image", ""), tuple(sorted(ports)))


def find_sites(machine: Machine) -> Iterator[Site]:
    """Find the names that nginx serves, in its configuration."""
    tls: dict[str, bool] = {}
    for pattern in ("sites-enabled/*", "conf.d/*.conf", "nginx.conf"):
        for path in sorted(machine.at("/etc/nginx").glob(pattern)):
            try:
                text = path.read_text("utf-8", errors="replace")
            except OSError:
                continue
            for name, encrypted in _server_blocks(text):
                tls[name] = tls.get(name, False) or encrypted
    yield from (Site(name, encrypted) for name, encrypted in sorted(tls.items()))


def _server_blocks(text: str) -> Iterator[tuple[str, bool]]:
    text = re.sub(r"#[^\n]*", "", text)
    for block in re.split(r"\bserver\s*\{", text)[1:]:
        names = re.search(r"\bserver_name\s+([^;]+);", block)
        encrypted = bool(re.search(r"\blisten\s+[^;]*\bssl\b", block))
        for name in names[1].split() if names else ():
            if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,}", name):
                yield name.lower(), encrypted


def find_units(machine: Machine) -> Iterator[str]:
    """Find the services that somebody of this machine wrote or installed by hand: files below /etc/systemd/system."""
    for path in sorted(machine.at("/etc/systemd/system").glob("*.service")):
        if path.is_symlink() or "@" in path.name or path.stem == "mainstay":
            continue
        yield path.stem


def find_disks(machine: Machine) -> Iterator[str]:
    """Find where real file systems are mounted."""
    try:
        lines = machine.at("/proc/mounts").read_text().splitlines()
    except OSError:
        lines = []
    seen: set[str] = set()
    for line in lines:
        device, path, kind, *_ = [*line.split(), "", "", ""]
        if kind in _REAL_DISKS and not _NOT_OURS.match(path) and device not in seen and path.startswith("/"):
            seen.add(device if kind != "overlay" else path)
            yield path.replace("\\040", " ")
    if not seen:
        yield "/"
