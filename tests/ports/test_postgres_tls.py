"""Programs that know no TLS reach a server that takes nothing else, and only the server that was meant."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.dsn import Dsn, PostgresError, passfile
from mainstay.ports.postgres.tls import context, forwarded
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch
from tests.servers.postgres import PostgresServer

PASSWORD = "pass:word\\with 'odd' things"


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a directory."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = cls._sign(subject, subject, key.public_key(), key, [], ca=True)
        authority = cls(folder, key, made)
        (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return authority

    @staticmethod
    def _sign(
        subject: x509.Name,
        issuer: x509.Name,
        public: ec.EllipticCurvePublicKey,
        key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName],
        *,
        ca: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(key, hashes.SHA256())

    def issue(self, name: str, *names: x509.GeneralName) -> tuple[Path, Path]:
        """A certificate and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._sign(
            subject, self.certificate.subject, key.public_key(), self.key, list(names), ca=False
        )
        crt, pem = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        crt.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        pem.chmod(0o600)
        return crt, pem


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ca")


@pytest.fixture
def server(debian_postgres: PostgresServer, authority: Authority) -> Iterator[PostgresServer]:
    """The system's server with TLS for 127.0.0.1; the user `odoo` must use it with SCRAM, `cert` with a certificate."""
    crt, key = authority.issue("server", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    data = debian_postgres.data
    for name, file in (("server.crt", crt), ("server.key", key), ("root.crt", authority.folder / "ca.crt")):
        (data / name).write_bytes(file.read_bytes())
        (data / name).chmod(0o600)
        debian_postgres._own(data / name)
    before = (data / "pg_hba.conf").read_text()
    rules = "hostssl all odoo all scram-sha-256\nhost all odoo all reject\nhostssl all cert all cert\n"
    (data / "pg_hba.conf").write_text(rules + before)
    for statement in (
        "ssl = on",
        "ssl_cert_file = 'server.crt'",
        "ssl_key_file = 'server.key'",
        "ssl_ca_file = 'root.crt'",
    ):
        debian_postgres.execute(f"ALTER SYSTEM SET {statement}")
    escaped = PASSWORD.replace("'", "''")
    debian_postgres.execute(f"CREATE ROLE odoo LOGIN PASSWORD '{escaped}' IN ROLE pg_read_all_data")
    debian_postgres.execute("CREATE ROLE cert LOGIN")
    debian_postgres.execute("SELECT pg_reload_conf()")
    yield debian_postgres
    for name in ("ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file"):
        debian_postgres.execute(f"ALTER SYSTEM RESET {name}")
    (data / "pg_hba.conf").write_text(before)
    debian_postgres.execute("SELECT pg_reload_conf()")
    debian_postgres.execute("DROP ROLE odoo, cert")


def dsn(server: PostgresServer, **params: str) -> Dsn:
    made = {
        "host": "127.0.0.1",
        "port": str(server.port),
        "dbname": "postgres",
        "user": "odoo",
        "password": PASSWORD,
    }
    return Dsn({**made, "sslmode": "require", **params})


async def ask(near: Dsn, folder: Path) -> tuple[int, str]:
    """What the wheel's psql, which knows no TLS, gets for an answer."""
    psql = Tools(only=("wheel",)).psql().program("psql")
    query = "SELECT ssl || ' ' || current_user FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    out = folder / "answer"
    argv = [psql, "-X", "-A", "-t", "-c", query, "-o", str(out), "-d", near.public()]
    async with child(argv, env=passfile(near, folder)) as running:
        code = await running.finish()
    return code, out.read_text().strip() if code == 0 else running.said


async def through(address: Dsn, folder: Path, host: str = "127.0.0.1") -> tuple[int, str]:
    with Scratch(folder / "scratch").workspace() as space:
        async with forwarded(address, host, int(address.params["port"]), space) as near:
            return await ask(near, space.path)


async def test_without_help_the_server_is_out_of_reach(server: PostgresServer, tmp_path: Path) -> None:
    assert (await ask(dsn(server), tmp_path))[0] != 0
    code, said = await ask(dsn(server, sslmode="disable"), tmp_path)
    assert code != 0
    assert "pg_hba.conf rejects connection" in said


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_the_forwarder_speaks_tls_for_it(
    server: PostgresServer, authority: Authority, tmp_path: Path, mode: str
) -> None:
    address = dsn(server, sslmode=mode, sslrootcert=str(authority.folder / "ca.crt"))
    assert await through(address, tmp_path) == (0, "true odoo")


async def test_a_wrong_password_stays_wrong(server: PostgresServer, tmp_path: Path) -> None:
    code, said = await through(dsn(server, password="wrong"), tmp_path)
    assert code != 0
    assert "password authentication failed" in said


async def test_somebody_else_s_certificate_is_refused(server: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    Authority.make(tmp_path / "other", "ca")
    address = dsn(server, sslmode="verify-ca", sslrootcert=str(tmp_path / "other/ca.crt"))
    assert (await through(address, tmp_path))[0] != 0


async def test_another_host_s_certificate_is_refused_when_names_matter(
    server: PostgresServer, authority: Authority, tmp_path: Path
) -> None:
    root = str(authority.folder / "ca.crt")
    assert (await through(dsn(server, sslmode="verify-ca", sslrootcert=root), tmp_path, "localhost"))[0] == 0
    assert (await through(dsn(server, sslmode="verify-full", sslrootcert=root), tmp_path, "localhost"))[
        0
    ] != 0


async def test_our_own_certificate_is_shown(
    server: PostgresServer, authority: Authority, tmp_path: Path
) -> None:
    crt, key = authority.issue("cert")
    address = dsn(server, user="cert", password="", sslcert=str(crt), sslkey=str(key))
    assert await through(address, tmp_path) == (0, "true cert")


async def test_nobody_else_may_use_it(server: PostgresServer, tmp_path: Path) -> None:
    with Scratch(tmp_path / "scratch").workspace() as space:
        async with forwarded(dsn(server), "127.0.0.1", server.port, space) as near:
            folder = Path(near.params["host"])
            assert oct(folder.stat().st_mode)[-3:] == "700"
            assert not [key for key in near.params if key.startswith("ssl")]
    assert not folder.exists()


async def test_a_server_without_tls_is_not_taken_for_one(
    debian_postgres: PostgresServer, tmp_path: Path
) -> None:
    code, said = await through(dsn(debian_postgres), tmp_path)
    assert code != 0
    assert "closed the connection" in said


@pytest.mark.parametrize(
    "params", [{"sslrootcert": "/nonexistent"}, {"sslcert": "/nonexistent", "sslkey": "/nonexistent"}]
)
def test_a_missing_certificate_is_told(params: dict[str, str]) -> None:
    with pytest.raises(PostgresError, match="a certificate cannot be read"):
        context(Dsn({"host": "db.example.com", "sslmode": "verify-full", **params}))


def test_the_system_s_certificates_imply_full_verification() -> None:
    made = context(Dsn({"host": "db.example.com", "sslrootcert": "system"}))
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context(Dsn({"host": "db.example.com", "sslmode": "require"})).verify_mode is ssl.CERT_NONE
