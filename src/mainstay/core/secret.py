"""Secrets: named in the configuration, resolved at load, masked everywhere."""

import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MASK = "********"
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)@")
_known: set[str] = set()
_lock = threading.Lock()

ESCAPES = "in a password write %40 for @, %2F for /, %3A for :, %3F for ?, %23 for # and %25 for %"
_DATABASES = ("postgres://", "postgresql://", "redis://", "rediss://", "mysql://", "mariadb://")

IN_FILE = "(in the file)"
KEY_LINE = 30
"""Longer lines of a secret are secrets themselves: a key file is more than its comments."""

Resolver = Callable[[str], str]
"""Given a secret's name, its value; raises LookupError with a hint when there is none."""


def _remember(value: str) -> None:
    """Keep what must be masked: the value, of a key file each line, of a URL the password in both its spellings."""
    found = _URL_PASSWORD.search(value)
    passwords = {found[2], unquote(found[2])} if found else set()
    lines = {
        line.strip()
        for line in value.splitlines()
        if len(line) > KEY_LINE and not line.startswith(("#", "-"))
    }
    with _lock:
        _known.update(text for text in {value, *passwords, *lines} if len(text) >= 4)


def redact(text: str) -> str:
    """Mask every secret value this process knows, and any password inside a URL."""
    for value in sorted(_known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, MASK)
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", text)


def torn(url: str) -> bool:
    """Whether a database's URL would be cut in the wrong places, so that a piece of its password counts as its host.

    That happens when a password holds an `@` or a `/` that is not written `%40` or `%2F`.
    """
    if not url.startswith(_DATABASES):
        return False
    server, _, path = url.partition("://")[2].partition("/")
    return server.count("@") > 1 or "@" in path.partition("?")[0]


class Secret:
    """A value that never shows itself; `reveal()` is the only way to read it.

    In the configuration it is written `{secret: NAME}`. With a resolver in the validation context
    (`{"resolve": ...}`) the value is looked up at once; without one only the name is kept, which is enough
    to check a file on a machine that has no secrets.
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str | None) -> None:
        self.name = name
        self._value = value
        if value and name != IN_FILE:
            _remember(value)

    def reveal(self) -> str:
        """Give the value; only call it where it is used, and do not keep it."""
        if self._value is None:
            raise LookupError(f"secret {self.name!r} was not resolved")
        return self._value

    @property
    def inline(self) -> bool:
        """Whether it is no secret at all, but stands in the file."""
        return self.name == IN_FILE

    @property
    def resolved(self) -> bool:
        """Whether `reveal` has something to give."""
        return self._value is not None

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self._value) == (other.name, other._value)

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda secret: {"secret": secret.name}
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "object",
            "description": "a secret by name: $CREDENTIALS_DIRECTORY/NAME, MAINSTAY_NAME_FILE or MAINSTAY_NAME",
            "properties": {"secret": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}},
            "required": ["secret"],
            "additionalProperties": False,
        }

    @classmethod
    def _validate(cls, value: Any, info: ValidationInfo) -> "Secret":
        if isinstance(value, Secret):
            return value
        if not isinstance(value, dict) or set(value) != {"secret"}:
            raise PydanticCustomError(
                "secret", "a secret is written {secret: NAME}, never in the file itself"
            )
        name = value["secret"]
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise PydanticCustomError("secret", "a secret's name has lower-case letters, digits and _")
        resolve: Resolver | None = (info.context or {}).get("resolve")
        if resolve is None:
            return cls(name, None)
        try:
            return cls(name, resolve(name))
        except LookupError as missing:
            reason = str(missing.args[0]) if missing.args else f"secret {name} is missing"
            raise PydanticCustomError("secret_missing", "{reason}", {"reason": reason}) from None


class SecretUrl(Secret):
    """A URL or connection string: in the file itself when it holds no password, else `{secret: NAME}`."""

    __slots__ = ()

    @classmethod
    def _validate(cls, value: Any, info: ValidationInfo) -> "Secret":
        if isinstance(value, str):
            if _URL_PASSWORD.search(value) or re.search(r"\bpassword\s*=", value):
                raise PydanticCustomError(
                    "secret", "this holds a password; keep it outside the file and write {secret: NAME}"
                )
            if "://" not in value and "=" not in value:
                raise PydanticCustomError("url", "not a URL; write it like scheme://host:port/name")
            found: Secret = cls(IN_FILE, value)
        else:
            found = super()._validate(value, info)
        if found.resolved and torn(found.reveal()):
            whose = "this address" if found.inline else f"the address in secret {found.name}"
            raise PydanticCustomError("url", f"{whose} cannot be taken apart; {ESCAPES}")
        return found

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        secret = super().__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [{"type": "string", "description": "a URL without a password"}, secret]}
