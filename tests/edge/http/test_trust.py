"""Whose word is taken for where a request comes from."""

from __future__ import annotations

import pytest

from mainstay.edge.http.exchange import Exchange, Head
from mainstay.edge.http.trust import Trust
from tests.edge.door import Answering, calling, serving

CHAINS = [
    ([], "10.0.0.1"),
    (["198.51.100.7"], "198.51.100.7"),
    (["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
    (["6.6.6.6, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
    (["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
    (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    (["6.6.6.6, nonsense"], "10.0.0.1"),
    (["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2"),
    ([""], "10.0.0.1"),
    (["2001:db8::1"], "2001:db8::1"),
    (["::ffff:198.51.100.7"], "198.51.100.7"),
    (["198.51.100.7:1234"], "10.0.0.1"),
    (["fe80::1%eth0"], "fe80::1%eth0"),
    (
        ['fe80::1%","status":200,"x":"'],
        "10.0.0.1",
    ),  # Python takes this for an address; it would go into the log
    (["fe80::1%a b"], "10.0.0.1"),
]


@pytest.mark.parametrize(("sent", "peer"), CHAINS)
def test_the_client_is_the_last_that_is_none_of_ours(sent: list[str], peer: str) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in sent]
    head = Head(b"GET", b"/", b"/", b"", b"1.1", b"a", headers)
    assert Trust(["10.0.0.0/8"]).see_through(head, "10.0.0.1", False) == (peer, False)


@pytest.mark.parametrize(
    ("sent", "secure"),
    [("https", True), ("HTTPS", True), ("http", False), ("https, http", False), ("", False)],
)
def test_tls_to_the_proxy_counts_as_tls(sent: str, secure: bool) -> None:
    head = Head(b"GET", b"/", b"/", b"", b"1.1", b"a", [(b"x-forwarded-proto", sent.encode())])
    assert Trust(["10.0.0.1"]).see_through(head, "10.0.0.1", False) == ("10.0.0.1", secure)


@pytest.mark.parametrize(
    ("address", "covered"), [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.1.2.3", False), ("", False)]
)
def test_networks(address: str, covered: bool) -> None:
    assert Trust(["10.0.0.0/8"]).covers(address) is covered
    assert not Trust(()).covers(address)


@pytest.mark.parametrize(("trusted", "peer"), [(["127.0.0.1"], "198.51.100.7"), ([], "127.0.0.1")])
async def test_a_request_is_seen_through_only_when_its_sender_is_trusted(
    trusted: list[str], peer: str
) -> None:
    found: list[tuple[str, bool]] = []

    def answer(exchange: Exchange) -> None:
        found.append((exchange.peer, exchange.secure))
        exchange.respond(200)

    async with serving(Answering(answer), trust=Trust(trusted)) as server, calling(server) as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\r\n"
        )
        await client.answer()
    assert found == [(peer, bool(trusted))]
