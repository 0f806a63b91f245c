"""A first configuration out of what a machine has; it is always right as it is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay.cli.entry import run
from mainstay.cli.init import local_timezone
from mainstay.config.discover import (
    Container,
    Found,
    Machine,
    Postgres,
    Site,
    discover,
    find_containers,
    find_disks,
    find_postgres,
    find_sites,
    find_units,
    listens,
    speaks_http,
)
from mainstay.config.load import load
from mainstay.config.sample import identifier, quoted, write
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

NGINX = """
server { listen 80; server_name shop.example.com www.shop.example.com; } # server_name no.example.com;
server {
    listen 443 ssl;
    server_name shop.example.com ~^(?<x>.+)$ _ localhost;
    ssl_certificate /etc/ssl/shop.pem;
    location / { proxy_pass http://127.0.0.1:8069; }
}
"""
MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
/dev/vda1 /also ext4 rw 0 0
/dev/vdb1 /srv/big\\040data xfs rw 0 0
/dev/vda15 /boot/efi ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
proc /proc proc rw 0 0
"""


class Told(Machine):
    """A machine whose docker command says what the test wants."""

    docker = ""

    def run(self, *command: str) -> str | None:
        return self.docker if command[0] == "docker" else None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of a machine."""
    files = {
        "etc/nginx/sites-enabled/shop": NGINX,
        "etc/nginx/conf.d/odd.conf": "server { server_name plain.example.com; }",
        "etc/systemd/system/odoo.service": "[Service]\n",
        "etc/systemd/system/getty@.service": "[Service]\n",
        "etc/systemd/system/mainstay.service": "[Service]\n",
        "proc/mounts": MOUNTS,
    }
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "root/etc/systemd/system/sshd.service").symlink_to("/lib/systemd/system/ssh.service")
    return tmp_path / "root"


def loaded(found: Found, directory: Path, timezone: str = "UTC") -> None:
    """Write the configuration and load it with all its secrets."""
    file = directory / "mainstay.yaml"
    file.write_text(write(found, timezone))
    load(file, environ={})


def test_files_tell_of_sites_units_and_disks(root: Path) -> None:
    machine = Machine(root)
    assert list(find_sites(machine)) == [
        Site("plain.example.com", tls=False),
        Site("shop.example.com", tls=True),
        Site("www.shop.example.com", tls=False),
    ]
    assert list(find_units(machine)) == ["odoo"]
    assert list(find_disks(machine)) == ["/", "/srv/big data"]
    assert list(find_disks(Machine(root / "nowhere"))) == ["/"]


def test_docker_is_asked(root: Path) -> None:
    machine = Told(root)
    machine.docker = (
        '{"Names":"shop_web","Image":"odoo:17","Ports":"0.0.0.0:8069->8069/tcp, [::]:8069->8069/tcp, 5432/tcp"}\n'
        "rubbish\n"
        '{"Names":"worker","Image":"shop:1","Ports":""}\n'
    )
    assert list(find_containers(machine)) == [
        Container("shop_web", "odoo:17", (8069,)),
        Container("worker", "shop:1"),
    ]
    assert Machine().run("no-such-program-anywhere") is None
    assert Machine().run("false") is None


def test_postgresql_is_found_by_its_socket(
    postgres: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGUSER", "postgres")
    directory = postgres.execute("SHOW unix_socket_directories")[0][0].split(",")[0]
    root = tmp_path / "root"
    (root / "run").mkdir(parents=True)
    (root / "run/postgresql").symlink_to(directory)
    (server, *_) = find_postgres(Machine(root))
    assert server.directory is not None
    assert database.rpartition("/")[2] in server.databases
    assert "postgres" not in server.databases


def test_a_postgresql_that_does_not_let_us_in_is_told(root: Path) -> None:
    path = root / "run/postgresql/.s.PGSQL.5499"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(str(path))
        except OSError:
            pytest.skip("the temporary directory's name is too long for a socket")
        assert list(find_postgres(Machine(root))) == [Postgres(5499)]


def test_redis_is_asked_for_a_ping(redis: RedisServer) -> None:
    port = int(redis.url.rpartition(":")[2].split("/")[0])
    found = discover(Machine(Path("/nowhere"), redis_ports=(port, 9)))
    assert found.redis == (f"redis://127.0.0.1:{port}",)


@pytest.fixture
def web() -> Iterator[int]:
    """The port of a web server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_ports_are_tried(web: int, redis: RedisServer, tmp_path: Path) -> None:
    other = int(redis.url.rpartition(":")[2].split("/")[0])
    assert (listens("127.0.0.1", web), speaks_http(web), speaks_http(other)) == (True, True, False)
    container = Container("shop", "odoo:17", (web, other, 9))
    found = Found("host", containers=(container,))
    loaded(found, tmp_path)
    config = load(tmp_path / "mainstay.yaml")
    kinds = {identifier.partition("/")[2] for identifier, service, _ in config.checks() if service == "shop"}
    assert kinds == {f"http-{web}", f"tcp-{other}"}


def test_a_full_machine_gives_a_right_file(tmp_path: Path) -> None:
    found = Found(
        "web 1.example.com",
        postgres=(Postgres(5432, "/run/postgresql", ("odoo", "shop data")), Postgres(5433)),
        redis=("redis://127.0.0.1:6379", "unix:///run/redis/redis.sock"),
        containers=(Container("worker", "shop:1"),),
        sites=(Site("shop.example.com", tls=True), Site("plain.example.com", tls=False)),
        units=("odoo", "worker"),
        disks=("/", "/srv/big data"),
    )
    loaded(found, tmp_path, "Asia/Manila")
    config = load(tmp_path / "mainstay.yaml")
    assert config.name == "web-1.example.com"
    assert list(config.databases) == ["odoo", "shop-data"]
    assert config.databases["shop-data"].dsn.reveal() == "postgresql:///shop%20data?host=/run/postgresql"
    assert {"worker", "worker-2", "redis", "redis-2", "postgres-5433"} <= set(config.services)
    assert {name for name, _, _ in config.checks()} >= {"machine/disk", "machine/disk-srv-big-data"}


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}", fullmatch=True)
databases = st.lists(words.filter(bool), min_size=1, max_size=3).map(tuple)
directories = st.none() | st.just("/run/postgresql")
found_things = st.builds(
    Found,
    host=words,
    postgres=st.tuples(
        st.builds(Postgres, port=st.integers(1, 65535), directory=directories, databases=databases)
    ),
    containers=st.lists(st.builds(Container, name=names, image=words), max_size=2).map(tuple),
    units=st.lists(names, max_size=2).map(tuple),
    disks=st.lists(words.map(lambda text: f"/{text}"), max_size=3, unique=True).map(tuple),
)


@settings(
    max_examples=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(found_things)
def test_whatever_things_are_called_the_file_is_right(tmp_path: Path, found: Found) -> None:
    loaded(found, tmp_path)


def test_names_and_texts() -> None:
    used: set[str] = set()
    assert [identifier(text, used) for text in ("a b", "a/b", "", "-.")] == [
        "a-b",
        "a-b-2",
        "service",
        "service-2",
    ]
    assert (quoted("plain.word-1"), quoted("a: b"), quoted("true")) == ("plain.word-1", '"a: b"', '"true"')


def test_the_command_writes_once_and_never_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init"]) == 0
    assert "wrote mainstay.yaml" in capsys.readouterr().out
    load("mainstay.yaml")
    first = Path("mainstay.yaml").read_text()
    Path("mainstay.yaml").write_text("mine")
    assert run(["init"]) == 1
    assert "--force overwrites it" in capsys.readouterr().err
    assert Path("mainstay.yaml").read_text() == "mine"
    assert run(["init", "--print"]) == 0
    assert capsys.readouterr().out == first
    assert run(["init", "--force", "--json"]) == 0
    assert '"file system"' in capsys.readouterr().out
    assert Path("mainstay.yaml").read_text() == first
    assert run(["init", "nowhere/x.yaml"]) == 1
    assert "choose another place" in capsys.readouterr().err


def test_the_time_zone_of_the_machine(tmp_path: Path) -> None:
    assert local_timezone(tmp_path) == "UTC"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/timezone").write_text("Asia/Manila\n")
    assert local_timezone(tmp_path) == "Asia/Manila"
    zone = tmp_path / "usr/share/zoneinfo/Europe/Berlin"
    zone.parent.mkdir(parents=True)
    zone.touch()
    (tmp_path / "etc/localtime").symlink_to(zone)
    assert local_timezone(tmp_path) == "Europe/Berlin"
