"""What may be said of a certificate."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.certs.settings import CertificateSettings, Command, Gateway, Unit
from mainstay.core.secret import Secret


def made(**options: Any) -> CertificateSettings:
    return CertificateSettings.model_validate({"names": ["example.com"], **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": ["example"]}, "no name for a certificate"),
        ({"names": ["-x.example.com"]}, "no name for a certificate"),
        ({"names": ["*.*.example.com"]}, "no name for a certificate"),
        ({"names": ["a.example.com; rm -rf /"]}, "no name for a certificate"),
        ({"names": []}, "at least 1"),
        ({"names": ["a.test", "A.test"]}, "twice"),
        ({"names": ["*.a.test"]}, "only be proven by DNS"),
        ({"dns": "route53", "webroot": "/var/www"}, "by DNS and by HTTP at once"),
        ({"dns": "--config=x"}, "no provider"),
        ({"dns": "rfc2136", "credentials": Secret("token", "x")}, "needs more than a token"),
        ({"dns": "cloudflare"}, "nothing lets mainstay change records"),
        ({"credentials": {"a": "b"}}, "name it"),
        ({"reload": "nginx"}, "can reload nothing"),
        ({"reload": "swarm:web"}, "can reload nothing"),
        ({"reload": {"command": []}}, "at least 1"),
        ({"server": "http://ca.test/directory"}, "no directory of an authority"),
        ({"eab_kid": "kid"}, "needs both"),
        ({"every": "2d"}, "at most 1d"),
        ({"served": {"addresses": ["a b"]}}, "is not an address"),
        ({"served": {"port": 0}}, "greater than or equal to 1"),
        ({"name": "../x"}, "pattern"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        made(**options)


def test_names_are_written_one_way() -> None:
    assert made(names=["WWW.Example.com."]).names == ["www.example.com"]
    assert made(names=["*.example.com"], dns="route53").called == "example.com"
    assert made(name="shop").called == "shop"


def test_reloads() -> None:
    given = ["systemd:nginx@1", "docker:mail", "gateway", {"command": ["caddy", "reload"]}]
    assert made(reload=given).reloads == [
        Unit(kind="systemd", name="nginx@1"),
        Unit(kind="docker", name="mail"),
        Gateway(),
        Command(command=["caddy", "reload"]),
    ]
    assert made(reload="gateway").reloads == [Gateway()]
    assert made().reloads == []
