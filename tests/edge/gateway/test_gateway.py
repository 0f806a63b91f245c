"""Addresses, certificates, API keys and signatures, on a gateway as it is put together."""

from __future__ import annotations

import base64
import datetime
import hmac
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mainstay.core.errors import JournalError
from mainstay.edge.gateway.auth import Authenticator
from mainstay.edge.gateway.gate import HOLD, Gate
from mainstay.edge.gateway.gateway import Around, Gateway
from mainstay.edge.gateway.limits import MemoryLimiter
from mainstay.edge.gateway.open import Standing
from mainstay.edge.gateway.policy import Admit, Ask, Deny, Verdict
from mainstay.edge.gateway.tokens.bearer import Tokens
from mainstay.edge.gateway.tokens.issuer import Issuer
from mainstay.edge.gateway.tokens.keys import KeySet
from mainstay.edge.gateway.tokens.sources import FixedKeys
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store import keys
from mainstay.store.base import Store, Tx
from mainstay.store.open import open_store
from tests.edge.gateway.conftest import WALL, Held, Read
from tests.edge.gateway.house import House, house, status
from tests.edge.gateway.minting import SECRET, Mint
from tests.helpers import ROOT, aeventually
from tests.journals import Journal
from tests.servers.recorder import Recorder
from tests.servers.redis import RedisServer


async def from_all(ours: House, *peers: str) -> list[int]:
    return [status(await ours.verdict(peer=peer)) for peer in peers]


async def test_an_address_of_ipv6_is_its_network(read: Read, tmp_path: Path) -> None:
    async with house(read({"routes": [{}], "per_address": "2/day"}), tmp_path) as ours:
        same = ("2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3")
        assert await from_all(ours, *same, "2001:db8:0:1::1") == [200, 200, 429, 200]


async def test_an_address_has_many_spellings(read: Read, tmp_path: Path) -> None:
    async with house(read({"routes": [{}], "per_address": "2/day"}), tmp_path) as ours:
        assert await from_all(ours, "192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207") == [200, 200, 429]
        assert await from_all(ours, "fe80::1%eth0", "fe80::1%eth1", "fe80::2") == [200, 200, 429]
        assert await from_all(ours, "", "", "") == [200, 200, 429]


async def test_a_wall_clock_that_is_set_moves_no_limit(read: Read, tmp_path: Path) -> None:
    async with house(read({"routes": [{}], "per_address": "1/min"}), tmp_path) as ours:
        assert await from_all(ours, "a", "a") == [200, 429]
        for step in (3600, -7200):
            ours.clock.step(step)
            assert await from_all(ours, "a") == [429]
        await ours.clock.advance(60)
        assert await from_all(ours, "a") == [200]


async def test_whoever_is_refused_all_the_time_is_refused_slowly(read: Read, tmp_path: Path) -> None:
    """And only they: another address is told at once, and after a minute of rest they are too."""
    data = {"routes": [{}], "per_address": "1/day"}
    async with house(read(data), tmp_path) as ours:

        async def holds(peer: str, many: int) -> list[float]:
            found = [await ours.verdict(peer=peer) for _ in range(many)]
            return [one.hold for one in found if isinstance(one, Deny)]

        assert await holds("a", 125) == [0.0] * 120 + [HOLD] * 4
        assert await holds("b", 2) == [0.0]
        await ours.clock.advance(60)
        assert await holds("a", 100) == [0.0] * 100


async def test_anonymous_requests_have_a_plan_by_their_address(read: Read, tmp_path: Path) -> None:
    data = {"routes": [{}], "plans": {"guest": "2/day"}, "anonymous_plan": "guest"}
    async with house(read(data), tmp_path) as ours:
        assert await from_all(ours, "a", "a", "a", "b") == [200, 200, 429, 200]


@pytest.mark.parametrize("central", [False, True])
async def test_a_refused_plan_is_not_counted_for_the_address(
    read: Read, mint: Mint, tmp_path: Path, redis: RedisServer, central: bool
) -> None:
    tokens = [{"keys": [{"algorithm": "HS256", "secret": {"secret": "hs"}}]}]
    data = {"routes": [{}], "plans": {"free": "1/day"}, "per_address": "5/day", "auth": {"tokens": tokens}}
    data["limits"] = {"url": redis.url} if central else {}
    async with house(read(data), tmp_path) as ours:
        greedy, other = mint.token(WALL, sub="greedy"), mint.token(WALL, sub="other")
        assert [await ours.status(greedy) for _ in range(30)] == [200] + [429] * 29
        assert await ours.status(other) == 200


async def test_a_changed_plan_holds_for_keys_that_are_known(read: Read, held: Held, tmp_path: Path) -> None:
    ring, made = held
    data = {"routes": [{}], "auth": {"keys": {}}}
    tight, wide = read({**data, "plans": {"paid": "2/day"}}), read({**data, "plans": {"paid": "4/day"}})
    limiter, clock = MemoryLimiter(), FakeClock(WALL)
    ask = Ask(b"GET", b"a", b"/", [(b"x-api-key", made["good"].encode())], "192.0.2.1")
    counts = []
    for policy in (tight, wide, tight):
        gate = Gate(policy, Authenticator(policy.auth, ring=ring), limiter, limiter, clock)
        counts.append(sum(isinstance(gate.decide(ask, 1.0, WALL), Admit) for _ in range(9)))
    assert counts == [2, 4, 0]


@pytest.mark.parametrize(("processes", "kind"), [(1, "auto"), (2, "auto"), (1, "shared"), (2, "redis")])
async def test_each_kind_of_store(
    read: Read, tmp_path: Path, redis: RedisServer, mint: Mint, processes: int, kind: str
) -> None:
    tokens = [{"keys": [{"algorithm": "HS256", "secret": {"secret": "hs"}}]}]
    limits = {"kind": kind, "url": redis.url} if kind == "redis" else {"kind": kind}
    data = {
        "routes": [{"limit": "4/day"}],
        "plans": {"free": "7/day"},
        "auth": {"tokens": tokens},
        "limits": limits,
    }
    settings = read(data)
    async with (
        house(settings, tmp_path, None, processes) as one,
        house(settings, tmp_path, None, processes) as two,
    ):
        asked = [await ours.status(mint.token(WALL)) for ours in (one, two) * 6]
        shared = processes > 1 or kind != "auto"
        assert asked.count(200) == (4 if shared else 8)
        found = await one.bearer(mint.token(WALL))
        assert isinstance(found, Deny)
        assert found.why == "route_limited"


async def test_a_store_that_is_closed_when_down_says_so(
    read: Read, tmp_path: Path, redis: RedisServer, mint: Mint
) -> None:
    tokens = [{"keys": [{"algorithm": "HS256", "secret": {"secret": "hs"}}]}]
    limits = {"url": redis.url, "on_store_down": "closed"}
    data = {"routes": [{}], "plans": {"free": "7/day"}, "auth": {"tokens": tokens}, "limits": limits}
    async with house(read(data), tmp_path) as ours:
        redis.kill()
        found = await ours.bearer(mint.token(WALL))
        assert isinstance(found, Deny)
        assert (found.status, found.why) == (503, "store_down")


# --- API keys


def made(tx: Tx, subject: str, **more: Any) -> str:
    return keys.create(tx, subject, plan="", note="", who="test", now=1.0, **more)[0]


async def test_a_key_opens_and_is_revoked_within_two_seconds(
    read: Read, journal: Journal, tmp_path: Path
) -> None:
    """The edge and whoever revokes are two processes, which share nothing but the journal."""
    settings, clock = read({"routes": [{}], "auth": {"keys": {}}}), SystemClock()
    async with journal.opened() as person:
        gateway = Gateway(settings, Around(clock, tmp_path, connect=partial(open_store, journal.url, clock)))
        await gateway.start()

        def opens(text: str) -> bool:
            ask = Ask(b"GET", b"a", b"/", [(b"x-api-key", text.encode())], "192.0.2.1")
            return isinstance(gateway.decide(ask, clock.monotonic(), clock.now()), Admit)

        text = await person.write(lambda tx: made(tx, "shop"))
        await aeventually(lambda: opens(text), deadline=2.5)
        name = keys.shown(text) or ""
        await person.write(lambda tx: keys.revoke(tx, name, clock.now()))
        await aeventually(lambda: not opens(text), deadline=2.5)
        key = await aeventually(lambda: _used(person, name), deadline=5)
        assert key
        await gateway.close()


async def _used(person: Any, name: str) -> bool:
    key = await person.read(lambda tx: keys.get(tx, name))
    return key is not None and key.used_at is not None


async def test_keys_are_not_judged_before_the_journal_was_read(read: Read, tmp_path: Path) -> None:
    settings = read({"routes": [{}], "auth": {"keys": {}}})

    async def connect() -> Store:
        raise JournalError("the disk is full")

    clock = FakeClock(WALL)
    gateway = Gateway(settings, Around(clock, tmp_path, connect=connect))
    await gateway.start()
    found = await House(gateway, clock).bearer("ms_aaaaaaaaaa_" + "a" * 36)
    assert isinstance(found, Deny)
    assert (found.status, found.why) == (503, "auth_down")
    await gateway.close()


# --- certificates


def certificate(name: str | None, *alternative: x509.GeneralName, days: int = 1) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [] if name is None else [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
    subject = x509.Name(names)
    begin = datetime.datetime.fromtimestamp(WALL, datetime.UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=days))
    )  # fmt: skip
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


CERTIFICATES: list[tuple[str, bytes, str | None]] = [
    ("common_name", certificate("shop-1"), "shop-1"),
    ("common_name", certificate(None), None),
    ("common_name", certificate("Jo Smith"), None),
    ("dns", certificate(None, x509.DNSName("a.example.com"), x509.DNSName("b.example.com")), "a.example.com"),
    ("email", certificate(None, x509.RFC822Name("jo@example.com")), "jo@example.com"),
    ("uri", certificate(None, x509.UniformResourceIdentifier("spiffe://x/shop")), "spiffe://x/shop"),
    ("dns", certificate("shop-1"), None),
    ("common_name", b"nonsense", None),
]


@pytest.mark.parametrize(("subject", "der", "name"), CERTIFICATES, ids=range(len(CERTIFICATES)))
async def test_who_a_certificate_is_of(
    read: Read, tmp_path: Path, subject: str, der: bytes, name: str | None
) -> None:
    data = {"routes": [{}], "plans": {"free": "unlimited", "paid": "unlimited"}}
    data |= {"auth": {"certificates": {"subject": subject, "plan": "paid"}}}
    async with house(read(data), tmp_path) as ours:
        for _ in range(2):
            found = await ours.verdict(certificate=der)
            assert (found.subject if isinstance(found, Admit) else None) == name
            assert status(found) == (200 if name else 401)
        if isinstance(found, Admit):
            assert found.plan == "paid"
            await ours.clock.advance(2 * 86400)
            assert status(await ours.verdict(certificate=der)) == 401


async def test_a_fingerprint_is_a_name(read: Read, tmp_path: Path) -> None:
    der = certificate("a name that cannot be put into a header")
    data = {"routes": [{}], "auth": {"certificates": {"subject": "fingerprint"}}}
    async with house(read(data), tmp_path) as ours:
        found = await ours.verdict(certificate=der)
        assert isinstance(found, Admit)
        assert found.subject == x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()


# --- what an origin can check


async def test_an_origin_can_tell_what_came_through_the_gateway(
    read: Read, mint: Mint, tmp_path: Path
) -> None:
    tokens = [{"keys": [{"algorithm": "HS256", "secret": {"secret": "hs"}}]}]
    data = {
        "routes": [{}],
        "plans": {"free": "1/s"},
        "sign": {"secret": "sign"},
        "auth": {"tokens": tokens, "forward": False},
    }
    async with house(read(data), tmp_path) as ours:
        found = await ours.bearer(mint.token(WALL))
        assert isinstance(found, Admit)
        assert found.drop == {b"authorization"}
        name, value = ours.gateway.signature(b"POST", b"/v1/x?y=1", found, WALL) or (b"", b"")
    assert name == b"x-mainstay-signature"
    said = "\n".join(["v1", "POST", "/v1/x?y=1", str(int(WALL)), "alice", "free"])
    digest = hmac.digest(SECRET.encode(), said.encode(), "sha256")
    assert value.decode() == f"t={int(WALL)},s={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
    page = (ROOT / "docs/how-to/protect-an-api.md").read_text()
    code = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert code
    exec(code[1], told := dict[str, Any]())  # noqa: S102 - what we tell people to do
    sent = {"X-User-ID": "alice", "X-User-Plan": "free", "X-Mainstay-Signature": value.decode()}
    assert told["genuine"](SECRET, "POST", "/v1/x?y=1", sent, WALL + 60)
    assert not told["genuine"](SECRET, "POST", "/v1/x?y=1", sent, WALL + 61)
    assert not told["genuine"](SECRET, "POST", "/v1/x?y=2", sent, WALL)
    assert not told["genuine"](SECRET, "POST", "/v1/x?y=1", {**sent, "X-User-ID": "root"}, WALL)
    assert not told["genuine"](SECRET, "POST", "/v1/x?y=1", {}, WALL)


async def test_a_route_for_some_methods_hands_on_no_other_by_a_header(read: Read, tmp_path: Path) -> None:
    data = {"routes": [{"path": "/read", "methods": ["GET"]}, {"path": "/all"}]}
    async with house(read(data), tmp_path) as ours:
        narrow, wide = await ours.verdict(path="/read"), await ours.verdict(path="/all")
        assert isinstance(narrow, Admit)
        assert isinstance(wide, Admit)
    assert b"x-http-method-override" in narrow.drop
    assert wide.drop == frozenset()


async def test_nothing_is_signed_without_a_key(read: Read, recorder: Recorder, tmp_path: Path) -> None:
    async with house(read({"routes": [{}]}), tmp_path) as ours:
        found = await ours.verdict()
        assert isinstance(found, Admit)
        assert ours.gateway.signature(b"GET", b"/", found, WALL) is None


async def test_counts_outlive_a_change_of_configuration(read: Read, tmp_path: Path) -> None:
    standing, around = Standing(), Around(FakeClock(WALL), tmp_path)
    first, second = ({"routes": [{"name": name}], "per_address": "2/day"} for name in ("old", "new"))
    async with standing.hold(read(first), around) as gateway:
        ours = House(gateway, FakeClock(WALL))
        assert await from_all(ours, "a", "a") == [200, 200]
        async with standing.hold(read(second), around) as swapped:
            assert swapped is gateway
            assert gateway.settings.routes[0].name == "new"
            assert await from_all(ours, "a", "b") == [429, 200]
        assert await from_all(ours, "a") == [429]
    async with standing.hold(read(first), around) as fresh:
        assert fresh is not gateway


class Counting:
    """Keys that know how often they were asked for."""

    def __init__(self, source: FixedKeys) -> None:
        self._source = source
        self.times = 0

    @property
    def keys(self) -> KeySet:
        self.times += 1
        return self._source.keys


async def test_a_flood_of_forgeries_is_not_looked_at_and_harms_nobody_who_is_known(
    read: Read, mint: Mint
) -> None:
    tokens = [{"keys": [{"algorithm": "ES256", "file": "es.pem", "kid": "es"}]}]
    data = {
        "routes": [{}],
        "plans": {"free": "unlimited"},
        "bad_credentials": "10/min",
        "auth": {"tokens": tokens},
    }
    settings, limiter, clock = read(data), MemoryLimiter(), FakeClock(WALL)
    looked = Counting(FixedKeys(settings.auth.tokens[0]))
    auth = Authenticator(settings.auth, Tokens([Issuer(settings.auth.tokens[0], looked)]))
    gate = Gate(settings, auth, limiter, limiter, clock)

    def ask(token: str, peer: str = "192.0.2.1") -> Verdict:
        sent = [(b"authorization", b"Bearer " + token.encode())]
        found = gate.decide(Ask(b"GET", b"a", b"/", sent, peer), 1.0, WALL)
        assert isinstance(found, Admit | Deny)
        return found

    good = mint.token(WALL, key="es")
    assert status(ask(good)) == 200
    forged = [ask(mint.token(WALL, key="es", sub=f"u{n}", forge="bit")) for n in range(100)]
    assert [status(one) for one in forged] == [401] * 10 + [429] * 90
    assert all(isinstance(one, Deny) and one.close and one.why == "forged" for one in forged[10:])
    assert looked.times == 11
    assert status(ask(good)) == 200
    # Whoever sends rubbish fills no memory with it: of each bad one 16 bytes are kept, however long it is.
    assert sum(map(len, auth._bad._young)) <= 16 * 10
    fresh = mint.token(WALL, key="es", sub="fresh")
    assert (status(ask(fresh)), status(ask(fresh, "192.0.2.2")), status(ask(fresh))) == (429, 200, 200)
