"""What a certificate's job needs: a journal, a place for files, an authority, a server that serves them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from mainstay.certs.authority import Authority as Asker
from mainstay.certs.certbot import Certbot
from mainstay.certs.jobs import RenewSsl
from mainstay.certs.pem import Pair, pair
from mainstay.certs.ports import CertPorts
from mainstay.certs.settings import CertificateSettings
from mainstay.core.ids import new_id
from mainstay.core.job import Outcome
from mainstay.ports.clock import Clock
from mainstay.store import certificates
from mainstay.store.base import Store
from mainstay.store.certificates import Certificate
from tests.servers.acme import Acme
from tests.servers.authority import Authority
from tests.servers.nginx import NginxServer

T = TypeVar("T")
NAME = "erp.acme.test"
_ids = itertools.count()


class Run:
    """A run context in memory; keeps what the job said, and which steps were done."""

    def __init__(self, ports: CertPorts, job: str = f"renew:{NAME}", **args: Any) -> None:
        self.ports = ports
        self.id = new_id(ports.clock.now() + next(_ids))
        self.job = job
        self.due_at = ports.clock.now()
        self.attempt = 1
        self.args: Mapping[str, Any] = args
        self.lines: list[str] = []
        self.kept: dict[str, Any] = {}

    async def step(self, name: str, action: Callable[[], Awaitable[T]]) -> T:
        if name not in self.kept:
            self.kept[name] = json.loads(json.dumps(await action()))
        return cast(T, self.kept[name])

    def log(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        self.lines.append(label)

    def now(self) -> float:
        return self.ports.clock.now()

    async def sleep(self, seconds: float) -> None:
        await self.ports.clock.sleep(seconds)

    def get(self, port: type[T]) -> T:
        assert port is CertPorts
        return cast(T, self.ports)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)


class House:
    """One certificate, `erp.acme.test` unless said otherwise, served by an nginx if there is one."""

    def __init__(self, store: Store, clock: Clock, place: Path, acme: Acme) -> None:
        self.place = place
        self.acme = acme
        self.server: NginxServer | None = None
        self.ports = CertPorts(
            store=store,
            clock=clock,
            certificates={},
            home=place / "certs",
            orders=Certbot(place / "certbot", clock),
            words=Asker(clock),
            resolve=_here,
        )

    def certificate(self, **options: Any) -> CertificateSettings:
        """Say what is wanted of the certificate."""
        made = CertificateSettings.model_validate(
            {
                "names": [NAME],
                "server": self.acme.directory,
                "server_ca": self.acme.ca,
                **options,
            }
        )
        self.ports = dataclasses.replace(self.ports, certificates={made.called: made})
        return made

    def served_by(
        self, nginx: Callable[[str], NginxServer], *, old: bool = True, **options: Any
    ) -> NginxServer:
        """Have an nginx serve it, and answer HTTP-01 from a webroot; it starts with an `old` one or what is there."""
        webroot = self.place / "webroot"
        webroot.mkdir()
        self.certificate(webroot=webroot, **options)
        if old:
            self.old()
        shelf = self.ports.shelf(NAME).directory
        server = nginx(
            f"server {{ listen 127.0.0.1:{self.acme.http_port}; root {webroot}; }}\n"
            f"server {{ listen 127.0.0.1:{{port}} ssl; ssl_certificate {shelf}/fullchain.pem; "
            f"ssl_certificate_key {shelf}/privkey.pem; return 200 'ok'; }}"
        )
        self.server = server
        told = [
            server.binary,
            "-p",
            str(server.base),
            "-e",
            "stderr",
            "-c",
            str(server.config),
            "-s",
            "reload",
        ]
        served = {"addresses": [f"127.0.0.1:{server.port}"], "within": 10.0}
        self.certificate(webroot=webroot, **{"reload": {"command": told}, "served": served, **options})
        return server

    def old(self, *names: str, **times: Any) -> Pair:
        """Put a certificate of an authority of our own in place."""
        made = Authority(self.place).issue(*(names or (NAME,)), **times)
        found = pair(made[0].read_bytes(), made[1].read_bytes(), "test")
        shelf = self.ports.shelf(next(iter(self.ports.certificates)))
        shelf.point(shelf.add(found))
        return found

    def by_dns(self, **options: Any) -> CertificateSettings:
        """Have it proven by DNS, through a command."""
        command = {
            "command": self.acme.hook("set-txt", sys.executable),
            "cleanup": self.acme.hook("clear-txt", sys.executable),
        }
        return self.certificate(dns=command, served="unchecked", **options)

    @property
    def name(self) -> str:
        return next(iter(self.ports.certificates))

    def run(self, **args: Any) -> Run:
        return Run(self.ports, f"renew:{self.name}", **args)

    async def renew(self, run: Run | None = None, **args: Any) -> Outcome:
        """Run the whole job."""
        run = run or self.run(**args)
        run.ports = self.ports
        return await RenewSsl(certificate=self.name).run(run)

    def in_place(self) -> Pair:
        shelf = self.ports.shelf(self.name)
        version = shelf.current()
        assert version is not None
        return shelf.read(version)

    async def row(self) -> Certificate:
        return await self.ports.store.read(lambda tx: certificates.get(tx, self.name))

    async def serves(self) -> bool:
        """Whether the server serves what is in place."""
        return (await self.ports.look(self.name, self.in_place().leaf.fingerprint)).right


async def _here(host: str) -> list[str]:
    return ["127.0.0.1"]
