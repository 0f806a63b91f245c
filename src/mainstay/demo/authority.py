"""The demonstration's authority: Pebble, Let's Encrypt's own small one, if this machine has it; and a site."""

import datetime
import json
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mainstay.ports.environment import inherited
from mainstay.ports.postgres.child import child

NAME = "shop.demo.test"
DAYS = 90
PORTS = ("directory", "management", "http", "tls", "dns", "names", "site")

SECTION = """
# The site's certificate, from a real authority on this machine; what its servers serve decides whether it counts.
certificates:
  - names: [{name}]
    server: https://localhost:{directory}/dir
    server_ca: {ca}
    listen: 127.0.0.1:{http}
    reload: {{command: [sh, -c, 'kill -HUP "$(cat {pid})"']}}
    served: {{addresses: ["127.0.0.1:{site}"], within: 60s}}
"""


@dataclass(frozen=True, slots=True)
class Authority:
    """What the company's file says of the certificate, and where the site is."""

    section: str
    site: int


@asynccontextmanager
async def authority(home: Path, free: Callable[[int], int]) -> AsyncIterator[Authority | None]:
    """Start an authority, its name server and the site below `home`; None where there is no Pebble."""
    pebble, names = shutil.which("pebble"), shutil.which("pebble-challtestsrv")
    if pebble is None or names is None:
        yield None
        return
    place = home / "authority"
    place.mkdir()
    ports = {name: free(0) for name in PORTS}
    certificates, pid = home / "state" / "certs" / NAME, place / "site.pid"
    ca = _identity(place)
    _configure(place, ports)
    async with AsyncExitStack() as stack:
        for argv in (
            [names, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{ports['dns']}",
             "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{ports['names']}"],
            [pebble, "-config", str(place / "pebble.json"), "-dnsserver", f"127.0.0.1:{ports['dns']}"],
            [sys.executable, "-m", "mainstay.demo.site", str(ports["site"]), str(certificates), str(pid)],
        ):  # fmt: skip
            environment = {**inherited(), "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
            await stack.enter_async_context(child(argv, env=environment))
        text = SECTION.format(name=NAME, ca=ca, pid=pid, **ports)
        yield Authority(text, ports["site"])


def _configure(place: Path, ports: dict[str, int]) -> None:
    settings = {
        "listenAddress": f"127.0.0.1:{ports['directory']}",
        "managementListenAddress": f"127.0.0.1:{ports['management']}",
        "certificate": str(place / "own.pem"),
        "privateKey": str(place / "own.key"),
        "httpPort": ports["http"],
        "tlsPort": ports["tls"],
        "certificateValidityPeriod": DAYS * 86400,
    }
    (place / "pebble.json").write_text(json.dumps({"pebble": settings}))


def _identity(place: Path) -> Path:
    """Make the authority's own certificate, which mainstay is to trust; gives its file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The demonstration's authority")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    (place / "own.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    (place / "own.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return place / "own.pem"
