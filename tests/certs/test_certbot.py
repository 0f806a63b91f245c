"""How certbot is driven: what it is told, what it must not be told in public, what is made of its words."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mainstay.certs.certbot import Certbot, OrderFailed
from mainstay.certs.settings import CertificateSettings
from mainstay.core.errors import MainstayError
from mainstay.core.secret import Secret
from mainstay.ports.clock import SystemClock

# Writes down how it was called and what the files say that it was given, and ends like a failed certbot.
WITNESS = """#!{python}
import json, os, pathlib, stat, sys
files = {{}}
for word in sys.argv:
    path = pathlib.Path(word)
    if word.startswith("/") and path.is_file() and "private" in word:
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)]
        files[path.name] = [path.read_text(), *modes]
pathlib.Path({seen!r}).write_text(json.dumps({{"argv": sys.argv[1:], "files": files, "env": dict(os.environ)}}))
print({said!r})
sys.exit(1)
"""


def witness(place: Path, said: str = "Certbot failed") -> Path:
    program = place / "certbot-witness"
    program.write_text(WITNESS.format(python=sys.executable, seen=str(place / "seen.json"), said=said))
    program.chmod(0o755)
    return program


async def seen(
    place: Path, said: str = "Certbot failed", **options: Any
) -> tuple[dict[str, Any], OrderFailed]:
    settings = CertificateSettings.model_validate(
        {"names": ["a.test"], "certbot": witness(place, said), **options}
    )
    with pytest.raises(OrderFailed) as failed:
        await Certbot(place / "certbot", SystemClock()).order(settings, lambda line: None)
    return json.loads((place / "seen.json").read_text()), failed.value


async def test_secrets_go_through_files_for_our_eyes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTAY_TOKEN", "token-very-secret")
    told, _ = await seen(
        tmp_path,
        dns="cloudflare",
        credentials=Secret("token", "token-very-secret"),
        eab_kid="kid-1",
        eab_hmac=Secret("hmac", "hmac-very-secret"),
        propagation="30s",
    )
    assert "very-secret" not in json.dumps([told["argv"], told["env"]])
    text, mode, around = told["files"]["credentials.ini"]
    assert text == "dns_cloudflare_api_token = token-very-secret\n"
    assert (mode, around) == (0o600, 0o700)
    assert told["files"]["cli.ini"][0] == "eab-kid = kid-1\neab-hmac-key = hmac-very-secret\n"
    assert told["argv"][told["argv"].index("--dns-cloudflare-propagation-seconds") + 1] == "30"
    assert not (tmp_path / "certbot" / "private").exists()


async def test_it_never_sleeps_hooks_or_asks(tmp_path: Path) -> None:
    told, _ = await seen(
        tmp_path, webroot=tmp_path, names=["a.test", "b.test"], profile="shortlived", email="a@a.test"
    )
    argv = told["argv"]
    assert argv[0] == "certonly"
    assert {
        "--non-interactive",
        "--no-random-sleep-on-renew",
        "--no-directory-hooks",
        "--force-renewal",
    } <= set(argv)
    assert not any("deploy" in word or "post-hook" in word for word in argv)
    after = {word: argv[at + 1] for at, word in enumerate(argv[:-1]) if word.startswith("--")}
    assert (after["--cert-name"], after["--required-profile"]) == ("a.test", "shortlived")
    assert (after["--webroot-path"], after["--email"]) == (str(tmp_path), "a@a.test")
    assert [argv[at + 1] for at, word in enumerate(argv) if word == "--domain"] == ["a.test", "b.test"]
    for name in ("config", "work", "logs"):
        assert after[f"--{name}-dir"] == str(tmp_path / "certbot" / name)


async def test_it_answers_http_itself_on_an_address(tmp_path: Path) -> None:
    told, _ = await seen(tmp_path, listen="192.0.2.1:8080")
    argv = told["argv"]
    assert argv[argv.index("--http-01-port") + 1] == "8080"
    assert argv[argv.index("--http-01-address") + 1] == "192.0.2.1"
    told, _ = await seen(tmp_path)
    assert "--http-01-address" not in told["argv"]


async def test_its_noise_is_left_out_and_the_reason_is_kept(tmp_path: Path) -> None:
    said = (
        "Saving debug log to /x/letsencrypt.log\nRequesting a certificate for a.test\n\n"
        "Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported "
        "these problems:\n  Domain: a.test\n  Type:   connection\n  Detail: 192.0.2.1: Connection refused\n\n"
        "Hint: The Certificate Authority failed to download\n\nSome challenges have failed.\n"
        "Ask for help or search for solutions at https://community.letsencrypt.org.\n"
    )
    _, failed = await seen(tmp_path, said)
    assert failed.what == (
        "no certificate was issued: Domain: a.test Type:   connection Detail: 192.0.2.1: Connection refused"
    )
    assert not failed.limited


async def test_a_limit_is_known_as_such(tmp_path: Path) -> None:
    said = "An unexpected error occurred:\nError creating new order :: too many new orders recently"
    _, failed = await seen(tmp_path, said)
    assert failed.limited
    assert failed.retry_at is None


async def test_what_a_killed_process_left_of_secrets_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "certbot" / "private"
    left.mkdir(parents=True)
    (left / "credentials.ini").write_text("old")
    told, _ = await seen(tmp_path)
    assert told["files"]["cli.ini"][0] == ""
    assert not left.exists()


async def test_a_plug_in_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = CertificateSettings(names=["a.test"], dns="route53")
    with pytest.raises(MainstayError, match="plug-in for route53 is not installed") as missing:
        await Certbot(tmp_path / "certbot", SystemClock()).order(settings, lambda line: None)
    assert "certbot-dns-route53" in str(missing.value.hint)


async def test_a_certbot_that_is_not_there_is_said(tmp_path: Path) -> None:
    settings = CertificateSettings(names=["a.test"], certbot=tmp_path / "nothing")
    with pytest.raises(MainstayError, match="nothing cannot be run"):
        await Certbot(tmp_path / "certbot", SystemClock()).order(settings, lambda line: None)


async def test_two_orders_wait_for_each_other(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(
        f"#!/bin/sh\nset -C\n: > {tmp_path}/busy || echo together >> {tmp_path}/seen\n"
        f"sleep 0.2\nrm -f {tmp_path}/busy\nexit 1\n"
    )
    slow.chmod(0o755)
    settings = CertificateSettings(names=["a.test"], certbot=slow)
    certbot = Certbot(tmp_path / "certbot", SystemClock())
    orders = (certbot.order(settings, lambda line: None) for _ in range(3))
    done = await asyncio.gather(*orders, return_exceptions=True)
    assert all(isinstance(one, OrderFailed) for one in done)
    assert not (tmp_path / "seen").exists()
