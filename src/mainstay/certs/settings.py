"""What is said of a certificate in `mainstay.yaml`: its names, how it is got, who must take it, where it is seen."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mainstay.core.listen import Listen
from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.secret import Secret
from mainstay.core.units import Duration

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
MOST_NAMES = 100
"""Names that authorities put into one certificate at most."""
LOOK_EVERY = 6 * 3600.0

TOKENS = {
    "cloudflare": "dns_cloudflare_api_token",
    "digitalocean": "dns_digitalocean_token",
    "dnsimple": "dns_dnsimple_token",
    "hetzner": "dns_hetzner_api_token",
    "linode": "dns_linode_key",
    "nsone": "dns_nsone_api_key",
}
"""Providers for which one token is enough, and what certbot's plug-in calls it."""


def _name(text: str) -> str:
    text = text.lower().rstrip(".")
    if len(text) > 253 or not re.fullmatch(
        r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{1,63}", text
    ):
        raise ValueError(f"{text!r} is no name for a certificate; write it like example.com or *.example.com")
    return text


def _place(text: str) -> str:
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?|[0-9a-fA-F:]*:[0-9a-fA-F:.]+", text):
        raise ValueError(f"{text!r} is not an address; write it like 203.0.113.7, [2001:db8::7] or web1:8443")
    return text


def _https(text: str) -> str:
    if not re.fullmatch(r"https://[^\s/]+/\S*", text):
        raise ValueError(f"{text!r} is no directory of an authority; write it like {LETS_ENCRYPT}")
    return text


def _provider(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", text):
        raise ValueError(f"{text!r} is no provider; write it like cloudflare, as in certbot-dns-cloudflare")
    return text


class DnsCommand(Settings):
    """A program of yours that puts a TXT record into DNS, waits until it is seen, and returns.

    Variables: `CERTBOT_DOMAIN` (the record is `_acme-challenge.$CERTBOT_DOMAIN`), `CERTBOT_VALIDATION` (its value) and
    what certbot's manual hooks have besides.
    """

    command: list[str] = Field(min_length=1, examples=[["/usr/local/bin/dns-add"]])
    """Program and arguments; no shell is involved."""
    cleanup: list[str] = []
    """Program that takes the record away again."""


class Unit(Settings):
    """A unit of systemd that is reloaded, or a container of Docker that is sent SIGHUP."""

    kind: Literal["systemd", "docker"]
    name: str


class Gateway(Settings):
    """The edge of mainstay itself, which sees changed files by itself."""

    kind: Literal["gateway"] = "gateway"


class Command(Settings):
    """A program that makes a server take the new files, such as `nginx -s reload`."""

    kind: Literal["command"] = "command"
    command: list[str] = Field(min_length=1, examples=[["caddy", "reload", "--force"]])
    """Program and arguments; no shell is involved."""


class CommandForm(Settings):
    """How a command is written."""

    command: list[str] = Field(min_length=1)
    """Program and arguments; no shell is involved."""


_FORMS = "write systemd:UNIT, docker:NAME, gateway or {command: [PROGRAM, ARGUMENT]}"


def _reload(value: Any) -> Any:
    if value == "gateway":
        return {"kind": "gateway"}
    if isinstance(value, str):
        found = re.fullmatch(r"(systemd|docker):([A-Za-z0-9][\w.@:\\-]*)", value)
        if not found:
            raise ValueError(f"{value!r} can reload nothing; {_FORMS}")
        return {"kind": found[1], "name": found[2]}
    if isinstance(value, dict) and set(value) == {"command"}:
        return {"kind": "command", **value}
    if isinstance(value, dict) and "kind" not in value:
        raise ValueError(f"this can reload nothing; {_FORMS}")
    return value


_WRITTEN = (
    Annotated[str, Field(pattern=r"^(gateway|(systemd|docker):.+)$", examples=["systemd:nginx"])]
    | CommandForm
)

Reload = Annotated[
    Annotated[Unit | Gateway | Command, Field(discriminator="kind")],
    BeforeValidator(_reload, json_schema_input_type=_WRITTEN),
]
"""Who must take the new files: `systemd:UNIT`, `docker:NAME`, `gateway` or `{command: [...]}`."""


class Served(Settings):
    """Where the certificate must be seen after a renewal, by a TLS connection to each address for each name."""

    names: list[Annotated[str, AfterValidator(_name)]] = []
    """The names to ask for; those of the certificate but for wildcards when left out."""
    port: int = Field(default=443, ge=1, le=65535)
    """The port at the addresses that the names have."""
    addresses: list[Annotated[str, AfterValidator(_place)]] = []
    """Hosts or addresses, with a port if need be, instead of those that the names have: for servers behind a CDN."""
    within: Duration = 60.0
    """How long the new certificate may take to be seen everywhere."""


class CertificateSettings(Settings):
    """A certificate that mainstay gets, renews in time and puts in place. Using an authority accepts its terms."""

    names: list[Annotated[str, AfterValidator(_name)]] = Field(min_length=1, max_length=MOST_NAMES)
    """The names in it, the main one first; a wildcard (`*.example.com`) needs `dns`."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)] | None = None
    """What it is called here and on disk; its first name when left out."""
    dns: Annotated[str, AfterValidator(_provider)] | DnsCommand | None = None
    """Prove by DNS (DNS-01): the provider, as in certbot-dns-PROVIDER, or a command of yours."""
    credentials: Secret | dict[str, str | Secret] | None = None
    """What the DNS plug-in logs in with: the token, or its credentials file's options by name."""
    propagation: Duration | None = None
    """How long a new DNS record takes to be seen everywhere; the plug-in's own default when left out."""
    challenge: Literal["http"] | None = None
    """Prove by HTTP (HTTP-01), which is what happens without `dns`: by `webroot`, else by answering on `listen`."""
    webroot: ConfigPath | None = None
    """Directory from which a web server on port 80 of these names gives `/.well-known/acme-challenge/`."""
    listen: Listen = ":80"
    """Where mainstay itself answers for the time of an order, when nothing else listens on port 80."""
    reload: Reload | list[Reload] = []
    """Who must take the new files: `systemd:UNIT`, `docker:NAME`, `gateway`, `{command: [...]}`, or several."""
    served: Served | Literal["unchecked"] = Served()
    """Where it must be seen afterwards; `unchecked` when this machine cannot reach the servers."""
    directory: ConfigPath | None = None
    """Where servers find `fullchain.pem`, `privkey.pem`, ...; `certs/NAME` in `state_dir` when left out."""
    group: str | None = None
    """Group that may read the key besides its owner, for servers that do not start as root."""
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """Where the authority writes to about this certificate's account."""
    server: Annotated[str, AfterValidator(_https)] = LETS_ENCRYPT
    """The ACME directory of the authority."""
    server_ca: ConfigPath | None = None
    """PEM file of the authorities to trust when talking to `server`, for one within the company."""
    eab_kid: str | None = None
    """Key identifier of an external account, for authorities that want one."""
    eab_hmac: Secret | None = None
    """Its HMAC key."""
    profile: str | None = None
    """The authority's profile, such as `shortlived`."""
    key_type: Literal["ecdsa", "rsa"] = "ecdsa"
    """Kind of the key; a new one is made each time."""
    certbot: ConfigPath | None = None
    """The certbot to use; the one that came with mainstay, else the system's, when left out."""
    every: Duration = LOOK_EVERY
    """How often the authority is asked whether it is time, and the servers what they serve."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.dns is not None and (self.challenge or self.webroot):
            raise ValueError(
                "proves by DNS and by HTTP at once; keep `dns`, or `challenge: http` and `webroot`"
            )
        wild = [name for name in self.names if name.startswith("*.")]
        if wild and self.dns is None:
            raise ValueError(
                f"{wild[0]} can only be proven by DNS; add `dns: PROVIDER` or `dns: {{command: [...]}}`"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError("a name stands in it twice")
        if (self.eab_kid is None) != (self.eab_hmac is None):
            raise ValueError("an external account needs both `eab_kid` and `eab_hmac`")
        if not 60.0 <= self.every <= 86400.0:
            raise ValueError("`every` is at least 1m and at most 1d: certificates may live for six days only")
        self._check_credentials()
        return self

    def _check_credentials(self) -> None:
        if not isinstance(self.dns, str):
            if self.credentials is not None:
                raise ValueError("`credentials` are for a DNS plug-in; name it: `dns: cloudflare`")
            return
        if isinstance(self.credentials, Secret) and self.dns not in TOKENS:
            raise ValueError(
                f"{self.dns} needs more than a token; write credentials: {{dns_{self.dns}_OPTION: {{secret: NAME}}}}"
            )
        if self.credentials is None and self.dns in TOKENS:
            raise ValueError(
                f"nothing lets mainstay change records at {self.dns}; add credentials: {{secret: NAME}}"
            )

    @property
    def called(self) -> str:
        """What it is called."""
        return self.name or self.names[0].removeprefix("*.")

    @property
    def reloads(self) -> list[Unit | Gateway | Command]:
        """Everybody who must take the new files."""
        return list(self.reload) if isinstance(self.reload, list) else [self.reload]
