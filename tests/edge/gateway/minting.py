"""Keys, and tokens that are good or broken in one way each."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "correct horse battery staple, and then some more of it so that it is long enough"
ALGORITHMS = {
    "hs": "HS256", "hs512": "HS512", "rs": "RS256", "ps": "PS256", "es": "ES256", "es384": "ES384", "ed": "EdDSA",
}  # fmt: skip


def pack(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Mint:
    """A set of keys, with their public halves in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        rsa_key = rsa.generate_private_key(65537, 2048)
        self.keys: dict[str, Any] = {
            "hs": SECRET, "hs512": SECRET, "rs": rsa_key, "ps": rsa_key,
            "es": ec.generate_private_key(ec.SECP256R1()), "es384": ec.generate_private_key(ec.SECP384R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }  # fmt: skip
        for name in ("rs", "es", "es384", "ed"):
            (directory / f"{name}.pem").write_bytes(self.pem(name))

    def pem(self, name: str) -> bytes:
        made: bytes = (
            self.keys[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return made

    def token(
        self,
        wall: float,
        key: str = "hs",
        alg: str | None = None,
        forge: str | None = None,
        long: int = 0,
        more: dict[str, Any] | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Make a token; dates are relative to `wall`, a claim of None is left out."""
        said: dict[str, Any] = {
            "iss": "https://auth.example.com",
            "aud": "api",
            "sub": "alice",
            "plan": "free",
        }
        said["exp"] = 300
        kid = claims.pop("kid", key)
        said |= claims
        for date in ("exp", "nbf", "iat"):
            if said.get(date) is not None:
                said[date] = int(wall) + said[date]
        said |= more or {}
        if long:
            said["sub"] = "x" * long
        said = {name: value for name, value in said.items() if value is not None}
        heading = ({"kid": kid} if kid is not None else {}) | (header or {})
        return self.forged(said, key, alg or ALGORITHMS[key], heading, forge)

    def forged(
        self, said: dict[str, Any], key: str, alg: str, heading: dict[str, Any], forge: str | None
    ) -> str:
        good = self.signed(said, self.keys[key], alg, heading)
        head, body, signature = good.split(".")
        bad: dict[str | None, Callable[[], str]] = {
            None: lambda: good,
            "none": lambda: f"{pack({'alg': 'none', **heading})}.{body}.",
            "NONE": lambda: f"{pack({'alg': 'nOnE', **heading})}.{body}.{signature}",
            "unsigned": lambda: f"{head}.{body}.",
            "stranger": lambda: self.signed(said, rsa.generate_private_key(65537, 2048), alg, heading),
            "changed": lambda: f"{head}.{pack({**said, 'plan': 'enterprise'})}.{signature}",
            "bit": lambda: f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
            "confused": lambda: self.confused(said, key, heading),
            "jwk": lambda: self.own_key(said, heading),
            "padded": lambda: f"{head}.{body}=.{signature}",
            "parts": lambda: f"{good}.{signature}",
            "deep": lambda: f"{head}.{pack(b'[' * 5000)}.{signature}",
            "huge": lambda: self.signed({**said, "x": "y" * 8192}, self.keys[key], alg, heading),
        }
        return bad[forge]()

    @staticmethod
    def signed(said: dict[str, Any], key: Any, alg: str, heading: dict[str, Any]) -> str:
        """As PyJWT does it, without its own opinion of what may be said."""
        from jwt.algorithms import get_default_algorithms

        using = get_default_algorithms()[alg]
        text = f"{pack({'typ': 'JWT', 'alg': alg, **heading})}.{pack(said)}"
        return f"{text}.{pack(using.sign(text.encode(), using.prepare_key(key)))}"

    def confused(self, said: dict[str, Any], key: str, heading: dict[str, Any]) -> str:
        """Signed by HMAC with what everybody may know."""
        import hmac

        text = f"{pack({'alg': 'HS256', **heading})}.{pack(said)}"
        return f"{text}.{pack(hmac.digest(self.pem(key), text.encode(), 'sha256'))}"

    def own_key(self, said: dict[str, Any], heading: dict[str, Any]) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        return jwt.encode(
            said, key, "ES256", {**heading, "jwk": json.loads(ECAlgorithm.to_jwk(key.public_key()))}
        )

    def jwk(self, name: str, **more: Any) -> dict[str, Any]:
        """The public half of a key, as a member of a key set."""
        public = self.keys[name].public_key()
        kind = RSAAlgorithm if name in ("rs", "ps") else OKPAlgorithm if name == "ed" else ECAlgorithm
        made: dict[str, Any] = json.loads(kind.to_jwk(public))
        made.pop("key_ops", None)
        return {**made, "kid": name, "alg": ALGORITHMS[name], **more}
