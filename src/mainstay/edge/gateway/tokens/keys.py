"""Keys that tokens are signed with. Each is used with its own algorithms only, whatever a token says."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstay.edge.gateway.tokens.text import Malformed, unpack

MOST_KEYS = 64
_CURVES = ("P-256", "P-384", "P-521")
_LEAST_RSA = 2048
_LARGEST_RSA = 8192

Verify = Callable[[bytes, bytes], bool]
"""Given what was signed and the signature: whether it fits. Never raises."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, and a way to verify for each algorithm that it may be used with."""

    kid: str | None
    verify: Mapping[str, Verify]
    mark: str
    """Tells it from any other key."""


@dataclass(slots=True)
class KeySet:
    """The keys of one issuer."""

    keys: tuple[Key, ...] = ()
    _named: dict[str, tuple[Key, ...]] = field(default_factory=dict)
    _unnamed: tuple[Key, ...] = ()

    def __post_init__(self) -> None:
        self._unnamed = tuple(key for key in self.keys if key.kid is None)
        for key in self.keys:
            if key.kid is not None:
                self._named[key.kid] = (*self._named.get(key.kid, ()), key)

    def find(self, kid: str | None) -> tuple[Key, ...]:
        """Give the keys that a token with this `kid` may be signed with. One without is tried with each."""
        return self.keys if kid is None else self._named.get(kid) or self._unnamed

    def names(self, kid: str) -> bool:
        """Whether a key has this name."""
        return kid in self._named

    @property
    def marks(self) -> frozenset[str]:
        """Tell sets apart."""
        return frozenset(key.mark for key in self.keys)


def shared(algorithm: str, secret: bytes, kid: str | None = None) -> Key:
    """Make a key of a shared secret."""
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]

    def verify(signed: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, signed, digest), signature)

    return Key(kid, {algorithm: verify}, _mark(algorithm, kid, secret))


def from_pem(text: bytes, algorithm: str, kid: str | None = None) -> Key:
    """Make a key of a public key in PEM. Raises `Malformed` when it is none, or not of this algorithm."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(text)
    except ValueError as fault:
        raise Malformed("this is not a public key in PEM") from fault
    return public_key(public, (algorithm,), kid)


def from_jwks(data: Any, algorithms: Iterable[str]) -> KeySet:
    """Read a key set (RFC 7517). Keys that are not for signing, or not of `algorithms`, are left out.

    Raises `Malformed` when it is no key set, or holds no key of use.
    """
    members = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(members, list) or len(members) > MOST_KEYS:
        raise Malformed(f"not a set of at most {MOST_KEYS} keys")
    allowed = tuple(algorithms)
    found = [key for member in members if (key := _from_jwk(member, allowed)) is not None]
    if not found:
        raise Malformed("no key in it that could be used")
    return KeySet(tuple(found))


def _from_jwk(member: Any, allowed: tuple[str, ...]) -> Key | None:
    if not isinstance(member, dict) or member.get("use", "sig") != "sig":
        return None
    operations = member.get("key_ops", ["verify"])
    kid, algorithm = member.get("kid"), member.get("alg")
    if not isinstance(operations, list) or "verify" not in operations or not isinstance(kid, str | None):
        return None
    able = allowed if algorithm is None else tuple(each for each in allowed if each == algorithm)
    try:
        return public_key(_public(member), able, kid)
    except (Malformed, ValueError, TypeError, KeyError, AttributeError):
        return None


def _public(member: Mapping[str, Any]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    kind = member["kty"]
    if kind == "RSA":
        return rsa.RSAPublicNumbers(_number(member["e"]), _number(member["n"])).public_key()
    if kind == "EC" and member["crv"] in _CURVES:
        curve = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())[_CURVES.index(member["crv"])]
        return ec.EllipticCurvePublicNumbers(_number(member["x"]), _number(member["y"]), curve).public_key()
    if kind == "OKP" and member["crv"] == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(unpack(member["x"].encode()))
    if kind == "OKP" and member["crv"] == "Ed448":
        return ed448.Ed448PublicKey.from_public_bytes(unpack(member["x"].encode()))
    raise Malformed("a key of a kind that is not used here")


def _number(text: str) -> int:
    raw = unpack(text.encode())
    if len(raw) > _LARGEST_RSA // 8 + 1:
        raise Malformed("a number too large")
    return int.from_bytes(raw, "big")


def public_key(public: Any, algorithms: Iterable[str], kid: str | None) -> Key:
    """Make a key of a public key; of `algorithms` those count that it can do. Raises `Malformed` if there is none."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    able = _able(public)
    verify = {name: able[name] for name in algorithms if name in able}
    if not verify:
        raise Malformed(
            f"a key that cannot be used with {', '.join(algorithms) or 'any algorithm that is allowed'}"
        )
    raw = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, verify, _mark(",".join(verify), kid, raw))


def _able(public: Any) -> dict[str, Verify]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    if isinstance(public, rsa.RSAPublicKey):
        if not _LEAST_RSA <= public.key_size <= _LARGEST_RSA:
            raise Malformed(f"an RSA key of {public.key_size} bits; {_LEAST_RSA} at least")
        return _rsa(public)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _ec(public)
    if isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return {"EdDSA": _quiet(lambda signed, signature: public.verify(signature, signed))}
    return {}


def _rsa(public: Any) -> dict[str, Verify]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    def one(pad: Any, digest: Any) -> Verify:
        return _quiet(lambda signed, signature: public.verify(signature, signed, pad, digest))

    found = {}
    for bits, digest in (("256", hashes.SHA256()), ("384", hashes.SHA384()), ("512", hashes.SHA512())):
        found[f"RS{bits}"] = one(padding.PKCS1v15(), digest)
        found[f"PS{bits}"] = one(padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return found


def _ec(public: Any) -> dict[str, Verify]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    name, size = {"secp256r1": ("ES256", 32), "secp384r1": ("ES384", 48), "secp521r1": ("ES512", 66)}.get(
        public.curve.name, ("", 0)
    )
    digest = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384(), "ES512": hashes.SHA512()}.get(name)
    if digest is None:
        return {}
    how = ec.ECDSA(digest)

    def check(signed: bytes, signature: bytes) -> None:
        if len(signature) != 2 * size:
            raise ValueError("not two numbers of the curve's size")
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        public.verify(encode_dss_signature(r, s), signed, how)

    return {name: _quiet(check)}


def _quiet(check: Callable[[bytes, bytes], None]) -> Verify:
    from cryptography.exceptions import InvalidSignature

    def verify(signed: bytes, signature: bytes) -> bool:
        try:
            check(signed, signature)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def _mark(algorithms: str, kid: str | None, raw: bytes) -> str:
    return hashlib.sha256(f"{algorithms}\0{kid!r}\0".encode() + raw).hexdigest()
