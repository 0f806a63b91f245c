"""Keys that are fetched: they come, go, hang and lie, and nobody good is turned away for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mainstay.edge.gateway.gate import HOLD
from mainstay.edge.gateway.policy import Deny, Pending
from mainstay.edge.gateway.settings import GatewaySettings
from tests.edge.gateway.conftest import WALL, Read
from tests.edge.gateway.house import House, house, publish
from tests.edge.gateway.minting import Mint
from tests.servers.recorder import Recorder

ROTATIONS = 20


@pytest.fixture
def fetched(read: Read, recorder: Recorder) -> GatewaySettings:
    return policy(read, jwks=f"{recorder.url}/jwks.json", refresh=60)


def policy(read: Read, **issuer: Any) -> GatewaySettings:
    return read({
        "routes": [{}], "per_address": "unlimited", "bad_credentials": "unlimited",
        "auth": {"tokens": [{"audience": ["api"], **issuer}]},
    })  # fmt: skip


def token(mint: Mint, kid: str | None, key: str = "es", **more: Any) -> str:
    return mint.token(WALL, key=key, kid=kid, exp=86400, **more)


async def test_a_token_is_believed_at_once_when_its_key_is_known(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"), mint.jwk("rs"), mint.jwk("ed"))
    async with house(fetched, tmp_path) as ours:
        for key in ("es", "rs", "ed"):
            assert not isinstance(ours.decide(("authorization", f"Bearer {token(mint, key, key)}")), Pending)
            assert await ours.status(token(mint, key, key)) == 200
        assert len(recorder.requests) == 1


async def test_twenty_rotations_turn_nobody_away(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    """Each time the old key is gone at once and the new one is used before anybody has looked."""
    publish(recorder, mint.jwk("es", kid="k0"))
    async with house(fetched, tmp_path) as ours:
        for number in range(1, ROTATIONS + 1):
            assert await ours.many(token(mint, f"k{number - 1}"), 20) == {200}
            publish(recorder, mint.jwk("es", kid=f"k{number}"))
            await ours.clock.advance(31)
            before = len(recorder.requests)
            assert await ours.many(token(mint, f"k{number}"), 100) == {200}
            assert len(recorder.requests) <= before + 1
            assert await ours.status(token(mint, f"k{number - 1}", sub="other")) in (401, 503)


async def test_a_key_that_is_taken_away_opens_nothing_any_more(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"), mint.jwk("ed"))
    async with house(fetched, tmp_path) as ours:
        assert await ours.status(token(mint, "ed", "ed")) == 200
        publish(recorder, mint.jwk("es"))
        await ours.clock.advance(61)
        assert await ours.status(token(mint, "es")) == 200
        assert await ours.status(token(mint, "ed", "ed")) == 401


async def test_unknown_keys_are_asked_about_once_in_thirty_seconds(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"))
    async with house(fetched, tmp_path) as ours:
        assert await ours.many(token(mint, "forged"), 50) == {401}
        assert len(recorder.requests) == 2
        await ours.clock.advance(1)
        # It may have been made this second: whoever comes with another one is told to come back, not to go away.
        publish(recorder, mint.jwk("es"), mint.jwk("es", kid="new"))
        found = await ours.bearer(token(mint, "new"))
        assert isinstance(found, Deny)
        assert (found.status, found.why, dict(found.headers)[b"retry-after"]) == (503, "auth_down", b"29")
        assert len(recorder.requests) == 2
        await ours.clock.advance(29)
        assert await ours.status(token(mint, "new")) == 200
        assert len(recorder.requests) == 3


async def test_keys_outlive_every_outage(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"))
    async with house(fetched, tmp_path) as ours:
        recorder.refuse()
        await ours.clock.advance(300)
        assert await ours.status(token(mint, "es")) == 200
        assert await ours.status(token(mint, "new")) == 503
        recorder.accept()
        publish(recorder, mint.jwk("es", kid="new"))
        await ours.clock.advance(31)
        assert await ours.status(token(mint, "new")) == 200


async def test_a_start_without_keys_turns_nobody_away(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.answer(500)
    async with house(fetched, tmp_path) as ours:
        assert await ours.status(token(mint, "es")) == 503
        publish(recorder, mint.jwk("es"))
        await ours.clock.advance(11)
        assert await ours.status(token(mint, "es")) == 200


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"keys": []}', b"[" * 100_000, b" " * 300_000, b'{"keys": [{"kty": "oct"}]}']
)
async def test_a_poisoned_answer_changes_nothing(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path, body: bytes
) -> None:
    publish(recorder, mint.jwk("es"))
    async with house(fetched, tmp_path) as ours:
        recorder.answer(200, body)
        await ours.clock.advance(61)
        assert len(recorder.requests) >= 2
        assert await ours.status(token(mint, "es")) == 200


async def test_an_answer_that_does_not_come_is_not_waited_for_long(
    read: Read, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"))
    async with house(policy(read, jwks=f"{recorder.url}/", timeout=0.2), tmp_path) as ours:
        recorder.hang()
        assert await ours.many(token(mint, "new"), 5) == {503}
        assert await ours.status(token(mint, "es")) == 200


async def test_an_issuer_whose_keys_have_no_names(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    first, second = mint.jwk("es"), mint.jwk("ed")
    del first["kid"], second["kid"]
    publish(recorder, first)
    async with house(fetched, tmp_path) as ours:
        assert await ours.status(token(mint, None)) == 200
        publish(recorder, second)
        assert await ours.status(token(mint, None, "ed")) == 200


@pytest.mark.parametrize("names", [(None, "new"), ("old", None), (None, None)])
async def test_a_rotation_to_or_from_a_key_without_a_name_turns_nobody_away(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, tmp_path: Path, names: tuple[str | None, ...]
) -> None:
    """Not even beside forgeries that were asked about before: they say nothing about another token of no name."""
    keys = [_called(mint.jwk(key), kid) for key, kid in zip(("es", "ed"), names, strict=True)]
    publish(recorder, keys[0])
    async with house(fetched, tmp_path) as ours:
        assert await ours.status(token(mint, names[0])) == 200
        assert await ours.status(token(mint, names[1], "rs")) == 401
        publish(recorder, *keys)
        assert await ours.status(token(mint, names[1], "ed")) == 503
        assert await ours.status(token(mint, names[1], "rs", iat=-60)) == 401
        assert await ours.status(token(mint, names[1], "rs")) == 401
        await ours.clock.advance(31)
        assert await ours.many(token(mint, names[1], "ed"), 20) == {200}
        assert await ours.status(token(mint, names[0])) == 200


async def test_forgeries_that_cost_cryptography_are_counted_whatever_they_are_answered(
    read: Read, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, _called(mint.jwk("es"), None))
    tight = policy(read, jwks=f"{recorder.url}/").model_copy(
        update={"bad_credentials": read({"routes": [{}], "bad_credentials": "5/h"}).bad_credentials}
    )
    async with house(tight, tmp_path) as ours:
        said = [await ours.status(token(mint, f"k{n}", forge="bit", sub=f"u{n}")) for n in range(8)]
        assert said == [401, 503, 503, 503, 503, 429, 429, 429]


async def test_names_of_keys_that_are_made_up_are_guesses_but_not_while_there_are_no_keys(
    read: Read, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"))
    tight = policy(read, jwks=f"{recorder.url}/").model_copy(
        update={"bad_credentials": read({"routes": [{}], "bad_credentials": "3/h"}).bad_credentials}
    )
    async with house(tight, tmp_path) as ours:
        said = [await ours.bearer(token(mint, f"k{n}", sub=f"u{n}")) for n in range(5)]
        found = [(one.status, one.hold) for one in said if isinstance(one, Deny)]
        assert found == [(401, 0.0), (503, 0.0), (503, 0.0), (429, HOLD), (429, HOLD)]
        assert await ours.status(token(mint, "es"), peer="192.0.2.2") == 200
    recorder.answer(500)
    async with house(tight, tmp_path) as ours:
        assert [await ours.status(token(mint, "es", sub=f"u{n}")) for n in range(5)] == [503] * 5


def _called(jwk: dict[str, Any], kid: str | None) -> dict[str, Any]:
    return {name: value for name, value in {**jwk, "kid": kid}.items() if value is not None}


async def test_nobody_is_followed_elsewhere(
    fetched: GatewaySettings, mint: Mint, recorder: Recorder, make_recorder: Any, tmp_path: Path
) -> None:
    evil = make_recorder()
    publish(evil, mint.jwk("es"))
    recorder.answer(302, headers={"Location": f"{evil.url}/"})
    async with house(fetched, tmp_path) as ours:
        assert await ours.status(token(mint, "es")) == 503
        assert evil.requests == []


async def test_a_file_of_keys_is_read_anew_when_it_changes(read: Read, mint: Mint, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [mint.jwk("es", kid="k0")]}))
    async with house(policy(read, jwks_file=str(file)), tmp_path) as ours:
        for number in range(1, ROTATIONS + 1):
            fresh = tmp_path / "fresh.json"
            fresh.write_text(json.dumps({"keys": [mint.jwk("es", kid=f"k{number}")]}))
            fresh.replace(file)
            await ours.clock.advance(2.5)
            assert await ours.many(token(mint, f"k{number}"), 20) == {200}
        file.unlink()
        await ours.clock.advance(100)
        assert await ours.status(token(mint, f"k{ROTATIONS}")) == 200


async def test_a_key_that_takes_over_a_name_is_believed_at_once(
    read: Read, mint: Mint, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other, file = Mint(tmp_path_factory.mktemp("other")), tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [mint.jwk("es", kid="k")]}))
    async with house(policy(read, jwks_file=str(file)), tmp_path) as ours:
        early = token(other, "k")
        assert [await ours.status(early) for _ in range(2)] == [401, 401]
        file.write_text(json.dumps({"keys": [other.jwk("es", kid="k"), other.jwk("ed")]}))
        await ours.clock.advance(2.5)
        assert await ours.status(early) == 200
        assert await ours.status(token(mint, "k")) == 401


async def test_a_policy_is_swapped_without_forgetting_keys_or_counts(
    fetched: GatewaySettings, read: Read, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"))
    tight = policy(read, jwks=fetched.auth.tokens[0].jwks, refresh=60).model_copy(update={"plans": read({
        "routes": [{}], "plans": {"free": "3/day"}
    }).plans})  # fmt: skip
    async with house(tight, tmp_path) as ours:
        assert [await ours.status(token(mint, "es")) for _ in range(4)] == [200, 200, 200, 429]
        for number in range(100):
            await ours.gateway.swap(tight.model_copy(update={"encoded_slashes": bool(number % 2)}))
            assert await ours.status(token(mint, "es")) == 429
            assert await ours.status(token(mint, "es", sub=f"user{number}")) == 200
        assert len(recorder.requests) == 1


async def test_a_swap_that_fails_leaves_all_as_it_was(
    fetched: GatewaySettings, read: Read, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    publish(recorder, mint.jwk("es"))
    async with house(fetched, tmp_path) as ours:
        broken = policy(read, keys=[{"algorithm": "ES256", "file": "gone.pem"}])
        with pytest.raises(Exception, match="No such file"):
            await ours.gateway.swap(broken)
        assert await ours.status(token(mint, "es")) == 200


async def test_a_request_meets_one_policy_as_a_whole(
    fetched: GatewaySettings, read: Read, mint: Mint, recorder: Recorder, tmp_path: Path
) -> None:
    """Those who wait for a key when the policy changes are judged by the one that they came under."""
    publish(recorder, mint.jwk("es"))
    async with house(fetched, tmp_path) as ours:
        publish(recorder, mint.jwk("es"), mint.jwk("ed", kid="new"))
        waiting = ours.decide(("authorization", f"Bearer {token(mint, 'new', 'ed')}"))
        assert isinstance(waiting, Pending)
        closed = read({"routes": [{"path": "/elsewhere"}], "auth": {"tokens": [{"jwks_file": "none.json"}]}})
        await ours.gateway.swap(closed)
        found = await waiting
        assert not isinstance(found, Deny)
        assert await _gone(ours) == 404


async def _gone(ours: House) -> int:
    return await ours.status("x")
