"""The options under `gateway.auth:`: the ways of saying who asks."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.secret import Secret
from mainstay.core.units import Duration

PlanName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""The name of a plan; it is put into headers."""
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s@]+$")]
Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip
_SHARED = ("HS256", "HS384", "HS512")
_LEAST = {"HS256": 32, "HS384": 48, "HS512": 64}


class TokenKeySettings(Settings):
    """One key that tokens are signed with."""

    algorithm: Algorithm
    """The only algorithm that it is used with."""
    secret: Secret | None = None
    """The shared secret, for HS256, HS384 and HS512."""
    file: ConfigPath | None = None
    """The public key in PEM, for every other algorithm; relative to this file."""
    kid: str | None = None
    """The key's id, when tokens name one; a token that names another is not tried with this key."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> "TokenKeySettings":
        shared = self.algorithm in _SHARED
        if shared and (self.secret is None or self.file is not None):
            raise ValueError(f"{self.algorithm} has a shared secret; write secret: {{secret: NAME}}")
        if not shared and (self.file is None or self.secret is not None):
            raise ValueError(f"{self.algorithm} has a public key; write file: KEY.pem")
        least = _LEAST.get(self.algorithm, 0)
        if self.secret is not None and self.secret.resolved and len(self.secret.reveal().encode()) < least:
            raise ValueError(
                f"the secret of {self.algorithm} is shorter than {least} bytes; make one with: openssl rand -hex 64"
            )
        return self


class IssuerSettings(Settings):
    """Somebody whose tokens (JWT) are believed."""

    issuer: str | None = None
    """What `iss` must say; not looked at when left out."""
    audience: list[str] = []
    """What `aud` must name at least one of; when left out, a token for somebody else is believed too."""
    jwks: Url | None = None
    """Where its public keys are fetched: `https://auth.example.com/.well-known/jwks.json`."""
    jwks_file: ConfigPath | None = None
    """A file with its public keys (JWKS), read anew when it changes; relative to this file."""
    keys: list[TokenKeySettings] = []
    """Its keys, when they are not fetched."""
    algorithms: list[Algorithm] = ["RS256", "PS256", "ES256", "EdDSA"]
    """What fetched keys may be used with; a key that names its own algorithm is used with that one only."""
    subject: str = "sub"
    """The claim that says who it is; `a.b` looks inside `a`."""
    plan: str = "plan"
    """The claim that says the plan."""
    leeway: Annotated[Duration, Field(le=600)] = 30.0
    """By how much clocks may differ."""
    refresh: Annotated[Duration, Field(ge=5)] = 600.0
    """How often fetched keys are fetched anew."""
    unknown_every: Annotated[Duration, Field(ge=0.1)] = 30.0
    """A token with an unknown `kid` has them fetched at once, but so often at most; until then it is answered 503."""
    timeout: Duration = 5.0
    """How long fetching keys may take."""

    @model_validator(mode="after")
    def _has_keys(self) -> "IssuerSettings":
        if (self.jwks is not None) + (self.jwks_file is not None) + bool(self.keys) != 1:
            raise ValueError("needs keys from exactly one place; write one of `jwks`, `jwks_file` and `keys`")
        if not self.keys and any(one in _SHARED for one in self.algorithms):
            raise ValueError("public keys cannot be used with HS256, HS384 or HS512; remove them")
        return self


class KeySettings(Settings):
    """API keys that `mainstay keys create` makes and the journal keeps hashed."""

    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-API-Key"
    """The header that a key is sent in; `Authorization: Bearer` is looked at too."""


class RemoteSettings(Settings):
    """A service that says whose a token is."""

    url: Url
    """Where `{"token": ...}` is posted. 200 with `user_id` and `plan` is a good token, 401, 403 and 404 are bad ones;
    anything else counts as being down."""
    user: str = "user_id"
    """The member of its answer that says who it is."""
    plan: str = "plan"
    """The member of its answer that says the plan."""
    secret: Secret | None = None
    """What is sent to it as `Authorization: Bearer`, so that it answers only us."""
    ttl: Annotated[Duration, Field(ge=0, le=3600)] = 60.0
    """How long a good answer is believed: a token that is withdrawn may work so much longer."""
    bad_ttl: Annotated[Duration, Field(ge=0, le=3600)] = 10.0
    """How long a bad answer is believed."""
    timeout: Annotated[Duration, Field(gt=0, le=60)] = 2.0
    """How long its answer is waited for; then the client gets 503."""
    most: Annotated[int, Field(ge=1, le=10_000)] = 64
    """How many questions may be open at once; a client beyond gets 503."""


class CertificateSettings(Settings):
    """Clients that show a certificate of `edge.tls`'s authority."""

    subject: Literal["common_name", "dns", "email", "uri", "fingerprint"] = "common_name"
    """What of it says who it is; alternative names (`dns`, `email`, `uri`) count the first one."""
    plan: PlanName | None = None
    """Their plan; `default_plan` when left out."""


class AuthSettings(Settings):
    """The ways of saying who asks. Several may be used side by side; the first that fits a request decides."""

    tokens: list[IssuerSettings] = []
    """Who signs tokens (JWT) that are sent as `Authorization: Bearer`."""
    keys: KeySettings | None = None
    """API keys from the journal; `keys: {}` turns them on."""
    remote: RemoteSettings | None = None
    """A service that is asked about bearer tokens that are neither of the others."""
    certificates: CertificateSettings | None = None
    """Client certificates; `certificates: {}` turns them on."""
    realm: Annotated[str, StringConstraints(pattern=r'^[^"\\\x00-\x1f\x7f-\uffff]{1,64}$')] = "api"
    """What `WWW-Authenticate` calls what is behind."""
    forward: bool = True
    """Whether the origin sees the credentials that a client sent; identity headers it always gets."""

    @property
    def any(self) -> bool:
        """Whether there is a way of saying who asks."""
        return bool(self.tokens or self.keys or self.remote or self.certificates)
