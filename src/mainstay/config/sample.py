"""Writes a first mainstay.yaml out of what was found: everything found is in force, everything else is explained."""

import json
import re
from collections.abc import Iterator

from mainstay.config.discover import Container, Found, Postgres, Site, listens, speaks_http

PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")

HEAD = """\
# What mainstay watches, backs up, tells and heals on this machine.
#
#   mainstay config check     is this file right?
#   mainstay config explain   what is in force, with every default
#   mainstay up               begin
#   mainstay check            what is still missing
#
# Secrets never stand here: {{secret: NAME}} is looked up in $CREDENTIALS_DIRECTORY/NAME, in the file named by
# MAINSTAY_NAME_FILE, then in MAINSTAY_NAME.

name: {name}
timezone: {timezone}
"""

NOTIFY = """
# Who is told. Put the secret where it says above, then remove the # signs.
# notify:
#   slack: {url: {secret: slack_url}}
#   pagerduty: {routing_key: {secret: pagerduty_key}, when: critical}
"""

OFFSITE = """\
  # Backups should outlive this machine. For that, a bucket; then write `to: [here, offsite]` above.
  # offsite:
  #   s3: {bucket: BUCKET, endpoint: "https://...", access_key: {secret: s3_key}, secret_key: {secret: s3_secret}}
"""


def write(found: Found, timezone: str) -> str:
    """Give the text of a configuration that is valid as it is."""
    parts = [
        HEAD.format(name=quoted(identifier(found.host) or "company"), timezone=timezone),
        "\nservices:\n",
    ]
    used: set[str] = set()
    for section in (_postgres, _redis, _containers, _sites, _units, _machine):
        parts += [f"{line}\n" for line in section(found, used)]
    parts += [f"{line}\n" for line in _databases(found)]
    parts.append(NOTIFY)
    return "".join(parts)


def identifier(text: str, used: set[str] | None = None) -> str:
    """Make a name out of any text; with `used`, one that is not there yet."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:50]
    if used is None:
        return name
    name = name or "service"
    made = next(one for one in _numbered(name) if one not in used)
    used.add(made)
    return made


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in range(2, 10_000):
        yield f"{name}-{number}"


def quoted(text: str) -> str:
    """Write a text so that YAML reads it as that text."""
    if PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null"):
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08X}"


def _key(name: str, used: set[str]) -> str:
    return quoted(identifier(name, used))


def _remark(text: str) -> str:
    """Write a text into a comment."""
    return "".join(letter for letter in text if letter.isprintable())


def _dsn(server: Postgres, database: str) -> str:
    from urllib.parse import quote

    port = "" if server.port == 5432 else f"&port={server.port}"
    return f"postgresql:///{quote(database, safe='')}?host={server.directory}{port}"


def _postgres(found: Found, used: set[str]) -> Iterator[str]:
    for server in found.postgres:
        name = _key("postgres" if server.port == 5432 else f"postgres-{server.port}", used)
        yield f"  {name}:"
        yield "    title: PostgreSQL"
        yield "    critical: true"
        if server.directory:
            yield f"    checks: [{{postgres: {quoted(_dsn(server, server.databases[0]))}}}]"
        else:
            yield "    # This account may not log in. With an address that may, ask the server itself:"
            yield "    # checks: [{postgres: {secret: postgres_dsn}}]"
            yield f"    checks: [{{tcp: {quoted(f'127.0.0.1:{server.port}')}}}]"


def _redis(found: Found, used: set[str]) -> Iterator[str]:
    for url in found.redis:
        yield f"  {_key('redis', used)}:"
        yield f"    checks: [{{redis: {quoted(url)}}}]"


def _containers(found: Found, used: set[str]) -> Iterator[str]:
    for container in found.containers:
        yield f"  {_key(container.name, used)}:"
        yield f"    # image {_remark(container.image)}"
        yield f"    runs_on: {quoted(f'docker:{container.name}')}"
        checks = _container_checks(container)
        if checks:
            yield f"    checks: [{', '.join(checks)}]"
            yield "    # heal: restart"
        else:
            command = json.dumps(
                ["sh", "-c", f"docker inspect -f '{{{{.State.Running}}}}' {container.name} | grep -q true"]
            )
            yield "    # It publishes no port, so this only asks whether it runs."
            yield f"    checks: [{{command: {command}}}]"


def _container_checks(container: Container) -> list[str]:
    checks = []
    for port in container.ports:
        if not listens("127.0.0.1", port):
            continue
        kind = "http" if speaks_http(port) else "tcp"
        address = f"http://127.0.0.1:{port}/" if kind == "http" else f"127.0.0.1:{port}"
        name = f", name: {kind}-{port}" if len(container.ports) > 1 else ""
        option = "url" if kind == "http" else "address"
        checks.append(
            f"{{{kind}: {{{option}: {quoted(address)}{name}}}}}" if name else f"{{{kind}: {quoted(address)}}}"
        )
    return checks


def _sites(found: Found, used: set[str]) -> Iterator[str]:
    for site in found.sites:
        yield f"  {_key(site.name, used)}:"
        yield f"    checks: [{', '.join(_site_checks(site))}]"


def _site_checks(site: Site) -> list[str]:
    if not site.tls:
        return [f"{{http: {quoted(f'http://{site.name}/')}}}"]
    return [f"{{http: {quoted(f'https://{site.name}/')}}}", f"{{certificate: {quoted(f'{site.name}:443')}}}"]


def _units(found: Found, used: set[str]) -> Iterator[str]:
    for unit in found.units:
        yield f"  {_key(unit, used)}:"
        yield f"    runs_on: {quoted(f'systemd:{unit}')}"
        yield "    # Better ask the service itself: {http: ...} or {tcp: ...}."
        yield f"    checks: [{{command: [systemctl, is-active, --quiet, {quoted(unit)}]}}]"
        yield "    # heal: restart"


def _machine(found: Found, used: set[str]) -> Iterator[str]:
    yield f"  {_key('machine', used)}:"
    yield "    title: This machine"
    yield "    checks:"
    disks = found.disks or ("/",)
    names: set[str] = set()
    for disk in disks:
        name = _key(f"disk-{disk.strip('/').replace('/', '-')}", names)
        options = quoted(disk) if len(disks) == 1 else f"{{path: {quoted(disk)}, name: {name}}}"
        yield f"      - disk: {options}"


def _databases(found: Found) -> Iterator[str]:
    used: set[str] = set()
    servers = [server for server in found.postgres if server.directory]
    yield ""
    if not servers:
        yield "# Databases that are backed up, restored and compared every night."
        yield "# databases:"
        yield "#   shop: {dsn: {secret: shop_dsn}, backup: {at: 0 2 * * *, to: here}}"
        yield "# storage:"
        yield "#   here: {directory: backups}"
        return
    yield "# Backed up every night, restored into a throwaway server and compared."
    yield "databases:"
    for server in servers:
        for database in server.databases:
            yield f"  {_key(database, used)}:"
            yield f"    dsn: {quoted(_dsn(server, database))}"
            yield '    backup: {at: "0 2 * * *", to: here, keep: {daily: 30, monthly: 12}}'
    yield ""
    yield "storage:"
    yield "  here: {directory: backups}"
    yield from OFFSITE.rstrip("\n").split("\n")
