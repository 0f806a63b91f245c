"""The tools of schemes: comparing that tells nothing, reading that is strict."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from mainstay.core.secret import Secret
from mainstay.edge.schemes import asymmetric, proof
from mainstay.edge.schemes.base import Headers, parse, word

SECRETS = [Secret(f"s{at}", f"secret {at}") for at in range(3)]


@pytest.mark.parametrize("right", [0, 1, 2, None])
def test_everything_is_compared_whatever_matches(monkeypatch: pytest.MonkeyPatch, right: int | None) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    given = [b"x", b"secret %d" % right if right is not None else b"y", b"z"]
    found = proof.matching(SECRETS, given, lambda secret: [secret.reveal().encode()])
    assert found == (None if right is None else SECRETS[right])
    assert len(compared) == 9


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1800000000", 1800000000.0),
        ("0", 0.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e9", None),
        ("1_000", None),
        ("١٢٣", None),
        ("9" * 16, None),
        (" 1", None),
        ("1\n", None),
    ],
)
def test_times(text: str | None, value: float | None) -> None:
    assert proof.seconds(text) == value


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("YQ==", b"a"),
        ("YR==", None),  # another spelling of the same byte
        ("YQ", None),
        ("YQ=", None),
        ("YQ==\n", None),
        ("Y Q==", None),
        ("_-==", None),
        ("é", None),
        ("", b""),
    ],
)
def test_base64_has_one_spelling(text: str, raw: bytes | None) -> None:
    assert proof.strict_base64(text) == raw


def test_headers_in_parts() -> None:
    assert proof.fields("t=1, v1=a,v1=b,x") == {"t": ["1"], "v1": ["a", "b"]}
    assert proof.fields(",".join(["t=1"] * 17)) == {}
    assert proof.listed("a, b  c,") == ["a", "b", "c"]
    assert proof.listed(" ".join("a" * 17)) == []
    headers = Headers.of([("X-A", "1"), ("x-b", "é "), ("x-a", "2"), ("X-C", " ")])
    assert (headers.get("x-A"), headers.all("X-a"), headers.get("x-b")) == ("1, 2", ["1", "2"], "é")
    assert (headers.get("x-c"), headers.get("x-ü€")) == (None, None)


def test_addresses_in_parts() -> None:
    assert proof.parameter("a=1&b=%20x&c", "b") == " x"
    assert proof.parameter("a=1&a=2", "a") is None
    assert proof.parameter("&".join(["a=1"] * 200), "b") is None
    assert proof.parameter("a=%FF", "a") == "\xff"


def test_words() -> None:
    assert [word(each) for each in ("Push Hook", " x ", 7, -7, "x" * 256)] == [
        "Push Hook",
        "x",
        "7",
        "-7",
        "x" * 256,
    ]
    nothing: list[Any] = ["", " ", "a\nb", "\ud800", "x" * 257, True, 1.5, None, [], 10**40]
    assert {word(each) for each in nothing} == {None}
    assert parse(b"[" * 100_000) is None
    assert parse(b"\xff") is None


@pytest.mark.parametrize(
    "key", ["", "AAAA", "not base64", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"]
)
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        asymmetric.ecdsa_key(key)
    assert asymmetric.ecdsa(key, b"x", b"y") is False


def test_a_key_of_another_kind() -> None:
    ed25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="  # RFC 8410, 10.1
    with pytest.raises(ValueError, match="elliptic curve"):
        asymmetric.ecdsa_key(ed25519)
    assert asymmetric.ed25519(b"short", b"x", b"y") is False
