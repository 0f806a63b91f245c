"""What servers really serve, name by name and address by address."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mainstay.certs.served import look, watch
from mainstay.certs.settings import CertificateSettings
from mainstay.core.check import ResolveError
from mainstay.ports.clock import FakeClock, SystemClock
from tests.servers.authority import Authority
from tests.servers.process import free_port


def certificate(**options: Any) -> CertificateSettings:
    return CertificateSettings.model_validate({"names": ["a.test"], **options})


def fingerprint(file: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read_text())).hexdigest()


async def here(host: str) -> list[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def serving(files: Callable[[str | None], tuple[Path, Path]]) -> AsyncIterator[int]:
    """A server of TLS that chooses its certificate by the name that it is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files(None))

    def choose(link: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chosen.load_cert_chain(*files(name))
        link.context = chosen

    context.sni_callback = choose

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_every_name_is_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    right, wrong = authority.issue("a.test", "b.test"), authority.issue("b.test")
    async with serving(lambda name: wrong if name == "b.test" else right) as port:
        settings = certificate(names=["a.test", "b.test"], served={"port": port})
        sight = await look(settings, fingerprint(right[0]), here)
    assert not sight.right
    assert sight.summary() == f"another certificate is served for b.test at 127.0.0.1:{port}"


async def test_every_address_is_asked(tmp_path: Path) -> None:
    right = Authority(tmp_path).issue("a.test")
    dead = free_port()
    async with serving(lambda name: right) as port:
        places = [f"127.0.0.1:{port}", f"localhost:{dead}"]
        sight = await look(certificate(served={"addresses": places}), fingerprint(right[0]), here)
        assert not sight.right
        assert f"no certificate is served for a.test at 127.0.0.1:{dead} (" in sight.summary()
        alone = await look(certificate(served={"addresses": places[:1]}), fingerprint(right[0]), here)
    assert alone.right
    assert alone.summary() == f"served for a.test at 127.0.0.1:{port}"


async def test_an_address_of_a_kind_that_this_machine_cannot_reach_is_left_out(tmp_path: Path) -> None:
    right = Authority(tmp_path).issue("a.test")

    async def both(host: str) -> list[str]:
        return ["127.0.0.1", "100::1"]  # the discard prefix (RFC 6666): no route, or no answer

    async with serving(lambda name: right) as port:
        sight = await look(certificate(served={"port": port}), fingerprint(right[0]), both)
    seen = {each.address: each for each in sight.seen}
    if seen[f"[100::1]:{port}"].no_way:
        assert sight.right
        assert "not reachable from here: a.test at [100::1]" in sight.summary()
    else:
        assert not sight.right


async def test_nothing_seen_is_not_good() -> None:
    async def lost(host: str) -> list[str]:
        raise ResolveError("there is no host named a.test", definite=True)

    sight = await look(certificate(), "ab", lost)
    assert not sight.right
    assert "there is no host named a.test" in sight.summary()


async def test_a_wildcard_is_looked_at_under_some_name(tmp_path: Path) -> None:
    right = Authority(tmp_path).issue("*.a.test")
    asked: list[str | None] = []

    def files(name: str | None) -> tuple[Path, Path]:
        asked.append(name)
        return right

    async with serving(files) as port:
        wild = certificate(names=["*.a.test"], dns="route53", served={"port": port})
        assert (await look(wild, fingerprint(right[0]), here)).right
        named = certificate(names=["*.a.test"], dns="route53", served={"port": port, "names": ["erp.a.test"]})
        assert (await look(named, fingerprint(right[0]), here)).right
    assert asked[1:] == ["mainstay-looks.a.test", "erp.a.test"]


async def test_it_counts_after_several_good_looks(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old, new = authority.issue("a.test"), authority.issue("a.test")
    answers = [old, old, new, old, new, new, new]

    def files(name: str | None) -> tuple[Path, Path]:
        return old if name is None else answers.pop(0)

    async with serving(files) as port:
        settings = certificate(served={"port": port, "within": 60.0})
        clock = Hasty()
        sight = await watch(settings, fingerprint(new[0]), here, clock)
    assert sight.right
    assert answers == []


class Hasty(SystemClock):
    """Lets no time go by."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def test_after_its_time_the_last_look_counts(tmp_path: Path) -> None:
    old = Authority(tmp_path).issue("a.test")
    async with serving(lambda name: old) as port:
        settings = certificate(served={"port": port, "within": 0.0})
        sight = await watch(settings, "ab", here, FakeClock())
    assert not sight.right


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("127.0.0.1", "127.0.0.1:443"),
        ("[::1]", "[::1]:443"),
        ("[::1]:8443", "[::1]:8443"),
        ("::1", "[::1]:443"),
    ],
)
async def test_addresses_are_taken_apart(place: str, address: str) -> None:
    async def itself(host: str) -> list[str]:
        return [host]

    sight = await look(certificate(served={"addresses": [place]}), "ab", itself)
    assert [each.address for each in sight.seen] == [address]
