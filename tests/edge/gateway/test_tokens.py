"""Tokens: the same verdict as PyJWT gives, and keys that come, go, hang and lie."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.identity import Bad, Identity, Known
from mainstay.edge.gateway.tokens.bearer import Tokens
from mainstay.edge.gateway.tokens.issuer import Issuer
from mainstay.edge.gateway.tokens.keys import from_jwks, from_pem
from mainstay.edge.gateway.tokens.sources import FixedKeys
from mainstay.edge.gateway.tokens.text import Malformed
from tests.edge.gateway.conftest import WALL, Read
from tests.edge.gateway.minting import ALGORITHMS, SECRET, Mint

ISSUER = "https://auth.example.com"


def judge(read: Read, raw: str, **issuer: Any) -> Known:
    settings = read({"routes": [{}], "auth": {"tokens": [{"issuer": ISSUER, "audience": ["api"], **issuer}]}})
    found = Tokens([Issuer(one, FixedKeys(one)) for one in settings.auth.tokens]).judge(raw.encode(), WALL)
    assert not isinstance(found, asyncio.Future)
    return found


CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "exp": st.integers(-40, 40) | st.sampled_from(["soon", None, 1.5, True, [1]]),
        "nbf": st.integers(-40, 40) | st.sampled_from(["soon", {}]),
        "iat": st.integers(-40, 40) | st.sampled_from(["soon"]),
        "aud": st.sampled_from(["api", "web", ["web", "api"], [], ["web"], 3, None, {"api": 1}]),
        "iss": st.sampled_from([ISSUER, ISSUER + "/", "", None, [ISSUER]]),
        "sub": st.sampled_from(["alice", "bob"]),
    },
)


@settings(max_examples=200, deadline=None)
@given(
    said=CLAIMS, key=st.sampled_from(["hs", "es", "ed"]), forge=st.sampled_from([None, None, "bit", "none"])
)
def test_the_verdict_is_that_of_pyjwt(
    read: Read, mint: Mint, said: dict[str, Any], key: str, forge: str | None
) -> None:
    """Where ours is stricter it is on purpose: dates are numbers, and a token without an end is refused."""
    dates = {name for name in ("exp", "nbf", "iat") if isinstance(said.get(name), int | float)}
    claims = {name: int(WALL) + value if name in dates else value for name, value in said.items()}
    raw = mint.token(WALL, key=key, forge=forge, exp=None, more={"exp": int(WALL) + 300, **claims})
    configured = {
        "algorithm": ALGORITHMS[key],
        **({"secret": {"secret": "hs"}} if key == "hs" else {"file": f"{key}.pem"}),
    }
    ours = judge(read, raw, keys=[configured], leeway=30)
    theirs = _pyjwt(raw, SECRET if key == "hs" else mint.pem(key), ALGORITHMS[key])
    if theirs and any(
        isinstance(said.get(name), bool | str | None) for name in ("exp", "nbf", "iat") if name in said
    ):
        return
    assert isinstance(ours, Identity) == theirs, (ours, claims)


def _pyjwt(raw: str, key: Any, algorithm: str) -> bool:
    """Its clock cannot be given, so its dates are moved to ours."""
    import datetime
    from unittest import mock

    class Then(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.fromtimestamp(WALL, tz)

    with mock.patch("jwt.api_jwt.datetime", Then):
        try:
            jwt.decode(
                raw, key, [algorithm], audience="api", issuer=ISSUER, leeway=30,
                options={"require": ["exp"], "verify_sub": False},
            )  # fmt: skip
        except jwt.PyJWTError:
            return False
    return True


@pytest.mark.parametrize("bits", ["a", "é", "a.b", "a.b.c", "..", "=.=.=", "e30.e30.", "bnVsbA.bnVsbA.AA"])
def test_nonsense_is_bad_and_nothing_worse(read: Read, bits: str) -> None:
    keys = [{"algorithm": "HS256", "secret": {"secret": "hs"}}]
    assert isinstance(judge(read, bits, keys=keys), Bad)


@given(raw=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_bad_and_nothing_worse(read: Read, raw: bytes) -> None:
    keys = [{"algorithm": "HS256", "secret": {"secret": "hs"}}]
    assert isinstance(judge(read, raw.decode("latin-1"), keys=keys), Bad)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_date_of_a_thousand_digits_is_bad_and_nothing_worse(read: Read, name: str) -> None:
    """JSON bounds no number, and nobody has verified it yet."""
    claims = {"iss": ISSUER, "aud": "api", "sub": "a", "exp": WALL + 60, name: 10**1000}
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()) for one in ({"alg": "HS256"}, claims)]
    raw = b".".join([part.rstrip(b"=") for part in (*parts, b"AAAA")]).decode()
    keys = [{"algorithm": "HS256", "secret": {"secret": "hs"}}]
    assert judge(read, raw, keys=keys) == Bad(f"{name} is no date")


def test_a_key_file_that_is_none_is_said(read: Read, mint: Mint) -> None:
    (mint.directory / "bad.pem").write_text("hello")
    for name, words in (
        ("bad.pem", "not a public key"),
        ("gone.pem", "No such file"),
        ("ed.pem", "cannot be used"),
    ):
        settings = read(
            {"routes": [{}], "auth": {"tokens": [{"keys": [{"algorithm": "ES256", "file": name}]}]}}
        )
        with pytest.raises(ConfigError, match=words):
            FixedKeys(settings.auth.tokens[0])


POISON: dict[str, Any] = {
    "nothing": {},
    "no list": {"keys": 3},
    "an empty list": {"keys": []},
    "a list": [],
    "a shared secret": {"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}]},
    "for encryption": {"keys": [{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}]},
    "a small RSA key": {"keys": [{"kty": "RSA", "n": "1Zk2", "e": "AQAB"}]},
    "a huge RSA key": {"keys": [{"kty": "RSA", "n": "A" * 9000, "e": "AQAB"}]},
    "a point off its curve": {"keys": [{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}]},
    "a curve of its own": {"keys": [{"kty": "EC", "crv": "P-1", "x": "AQ", "y": "AQ"}]},
    "numbers": {"keys": [1, None, "x"]},
    "too many": {"keys": [{}] * 65},
}


@pytest.mark.parametrize("data", POISON.values(), ids=POISON)
def test_a_poisoned_key_set_is_refused_whole(data: Any) -> None:
    with pytest.raises(Malformed):
        from_jwks(data, ["RS256", "ES256", "EdDSA"])


def test_a_key_is_used_with_its_own_algorithms_only(mint: Mint) -> None:
    allowed = ["RS256", "PS256", "ES256", "EdDSA"]
    found = from_jwks(
        {"keys": [mint.jwk("rs"), mint.jwk("es", alg=None) | {"alg": "ES256"}, mint.jwk("ed")]}, allowed
    )
    assert [sorted(key.verify) for key in found.keys] == [["RS256"], ["ES256"], ["EdDSA"]]
    bare = mint.jwk("rs")
    del bare["alg"]
    assert sorted(from_jwks({"keys": [bare]}, allowed).keys[0].verify) == ["PS256", "RS256"]
    with pytest.raises(Malformed):
        from_pem(mint.pem("rs"), "ES256")


@pytest.mark.parametrize(
    ("kid", "forge", "why"),
    [
        ("hs", "bit", "signature does not fit"),
        (None, "bit", "signature does not fit"),
        ("nobody's", None, "unknown key"),
    ],
)
def test_a_wrong_signature_is_not_called_an_unknown_key(
    read: Read, mint: Mint, kid: str | None, forge: str | None, why: str
) -> None:
    key = {"algorithm": "HS256", "secret": {"secret": "x"}, **({"kid": "hs"} if kid else {})}
    found = judge(read, mint.token(WALL, forge=forge, kid=kid), keys=[key])
    assert isinstance(found, Bad)
    assert found.why == why
