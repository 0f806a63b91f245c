"""TLS: certificates that change while connections stand, clients that show one, and files that are wrong."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from mainstay.core.errors import MainstayError
from mainstay.edge.http.exchange import Exchange
from mainstay.edge.http.settings import TlsSettings
from mainstay.edge.http.tls import Certificates
from tests.edge.door import Answering, Ledger, calling, serving
from tests.servers.authority import Authority

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca))


def serial(client: object) -> str:
    return client.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"].lower()  # type: ignore[attr-defined, no-any-return]


async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "live.pem", tmp_path / "live.key"
    for source, target in zip(authority.issue(), (certificate, key), strict=True):
        target.write_bytes(source.read_bytes())
    certificates = Certificates(TlsSettings(certificate=certificate, key=key))
    context = certificates.context()
    async with serving(Ledger(), tls=context) as server, calling(server, trusting(authority)) as before:
        before.send(GET)
        assert (await before.answer())[0] == 200
        assert not certificates.changed()
        for source, target in zip(authority.issue(), (certificate, key), strict=True):
            source.replace(target)
        assert certificates.changed()
        await server.secure(certificates.context())
        assert not certificates.changed()
        before.send(GET)
        assert (await before.answer())[0] == 200
        async with calling(server, trusting(authority)) as after:
            after.send(GET)
            assert (await after.answer())[0] == 200
            assert serial(before) != serial(after)


async def test_a_clients_certificate_reaches_the_handler(authority: Authority) -> None:
    found: list[tuple[bool, bytes | None]] = []

    def answer(exchange: Exchange) -> None:
        found.append((exchange.secure, exchange.certificate))
        exchange.respond(200)

    certificate, key = authority.issue()
    settings = TlsSettings(certificate=certificate, key=key, client_ca=authority.ca)
    async with serving(Answering(answer), tls=Certificates(settings).context()) as server:
        async with calling(server, trusting(authority)) as nobody:
            nobody.send(GET)
            assert (await nobody.answer())[0] == 200
        shown, secret = authority.issue("robot")
        somebody = trusting(authority)
        somebody.load_cert_chain(shown, secret)
        async with calling(server, somebody) as client:
            client.send(GET)
            assert (await client.answer())[0] == 200
        assert found == [(True, None), (True, ssl.PEM_cert_to_DER_cert(shown.read_text()))]
        stranger = trusting(authority)
        stranger.load_cert_chain(*authority.issue("stranger", self_signed=True))
        async with calling(server, stranger) as client:
            client.send(GET)
            with pytest.raises((EOFError, OSError)):  # a reset or an alert, as it comes
                await client.answer()
        assert len(found) == 2


async def test_plain_http_on_tls_and_old_versions_are_turned_away(authority: Authority) -> None:
    settings = TlsSettings(**dict(zip(("certificate", "key"), authority.issue(), strict=True)))
    ledger = Ledger()
    async with serving(ledger, tls=Certificates(settings).context()) as server:
        async with calling(server) as client:
            client.send(GET)
            assert b"HTTP" not in await client.ended()
        assert ledger.begun == []
        assert Certificates(settings).context().minimum_version == ssl.TLSVersion.TLSv1_2


async def test_large_answers_and_refusals_arrive_through_tls(authority: Authority) -> None:
    settings = TlsSettings(**dict(zip(("certificate", "key"), authority.issue(), strict=True)))
    handler = Answering(lambda exchange: exchange.respond(200, [], b"x" * 3_000_000))
    context = Certificates(settings).context()
    async with serving(handler, tls=context) as server, calling(server, trusting(authority)) as client:
        client.send(GET + GET.replace(b"Host", b"Host "))
        assert len((await client.answer())[2]) == 3_000_000
        assert (await client.answer())[0] == 400


def test_what_is_wrong_with_files_is_said(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue()
    _, other = authority.issue()
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    with pytest.raises(MainstayError, match="do not fit together"):
        Certificates(TlsSettings(certificate=certificate, key=other)).context()
    with pytest.raises(MainstayError, match="no PEM"):
        Certificates(TlsSettings(certificate=nonsense, key=key)).context()
    with pytest.raises(MainstayError, match=r"nowhere cannot be read: No such file"):
        Certificates(TlsSettings(certificate=certificate, key=tmp_path / "nowhere")).context()
    with pytest.raises(MainstayError, match="holds no certificate"):
        Certificates(TlsSettings(certificate=certificate, key=key, client_ca=nonsense)).context()
