"""Secrets never show themselves."""

import pickle

import pytest
from pydantic import ValidationError

from mainstay.core.plugin import Settings
from mainstay.core.secret import MASK, Secret, SecretUrl, redact


class Example(Settings):
    token: Secret | None = None
    dsn: SecretUrl | None = None


def resolve(name: str) -> str:
    values = {"token": "open-sesame-9", "dsn": "postgresql://odoo:p%40ss-word@db/odoo"}
    if name not in values:
        raise LookupError(f"secret {name} is missing; set MAINSTAY_{name.upper()}")
    return values[name]


def load(document: dict[str, object]) -> Example:
    return Example.model_validate(document, context={"resolve": resolve})


def test_a_secret_is_revealed_only_on_request() -> None:
    example = load({"token": {"secret": "token"}})
    assert example.token is not None
    assert example.token.reveal() == "open-sesame-9"
    for shown in (repr(example), str(example.token), example.model_dump_json(), f"{example.token}"):
        assert "sesame" not in shown


def test_known_secrets_and_url_passwords_are_masked_in_any_text() -> None:
    load({"token": {"secret": "token"}, "dsn": {"secret": "dsn"}})
    text = redact("open-sesame-9 and p@ss-word and p%40ss-word and redis://u:other@host/0")
    assert text == f"{MASK} and {MASK} and {MASK} and redis://u:{MASK}@host/0"


def test_a_url_without_password_may_stand_in_the_file_and_stays_readable() -> None:
    example = load({"dsn": "redis://localhost:6379"})
    assert example.dsn is not None
    assert example.dsn.reveal() == "redis://localhost:6379"
    assert redact("redis://localhost:6379") == "redis://localhost:6379"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"token": "open-sesame"}, "never in the file itself"),
        ({"token": {"secret": "No Such"}}, "lower-case"),
        ({"token": {"secret": "nothing"}}, "MAINSTAY_NOTHING"),
        ({"dsn": "postgresql://u:pw@h/d"}, "holds a password"),
        ({"dsn": "host=db password=x"}, "holds a password"),
        ({"dsn": "nonsense"}, "not a URL"),
        ({"dsn": 5}, "never in the file itself"),
    ],
)
def test_what_does_not_belong_in_the_file_is_refused(document: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        load(document)


@pytest.mark.parametrize("url", ["postgresql://odoo:se/ret9#@db/shop", "rediss://:se@ret9@cache:6379/0"])
def test_a_password_that_tears_its_address_apart_is_told_and_not_shown(url: str) -> None:
    for written in ({"secret": "shop"}, url):
        with pytest.raises(ValidationError) as told:
            Example.model_validate({"dsn": written}, context={"resolve": lambda _: url})
        [fault] = told.value.errors(include_url=False, include_input=False)
        assert "%2F for /" in fault["msg"] or "holds a password" in fault["msg"]
        assert "ret9" not in fault["msg"]


@pytest.mark.parametrize(
    "url", ["https://example.com/@us", "postgresql://h/shop?options=a@b", "redis://u:%40%2F@h/0"]
)
def test_an_at_sign_elsewhere_tears_nothing(url: str) -> None:
    found = Example.model_validate({"dsn": {"secret": "shop"}}, context={"resolve": lambda _: url}).dsn
    assert found is not None
    assert found.reveal() == url


def test_without_a_resolver_only_the_name_is_kept() -> None:
    example = Example.model_validate({"token": {"secret": "token"}})
    assert example.token is not None
    with pytest.raises(LookupError, match="not resolved"):
        example.token.reveal()
    assert example.model_dump() == {"token": {"secret": "token"}, "dsn": None}


def test_the_schema_tells_editors_how_a_secret_is_written() -> None:
    schema = Example.model_json_schema()
    assert schema["properties"]["token"]["anyOf"][0]["required"] == ["secret"]


def test_secrets_compare_by_value_and_are_hashable() -> None:
    assert Secret("a", "1234") == Secret("a", "1234") != Secret("a", "5678")
    assert len({Secret("a", "1234"), Secret("a", "1234")}) == 1
    with pytest.raises((TypeError, AttributeError)):
        pickle.dumps(Secret("a", "1234"), protocol=0)


def test_each_line_of_a_key_file_is_masked() -> None:
    key = "AGE-SECRET-KEY-1" + "QPZRY9X8" * 6
    Secret("backup_key", f"# created: today\n# public key: age1{'q' * 50}\n{key}\n")
    assert redact(f"cannot parse {key}") == f"cannot parse {MASK}"
    assert redact(f"for age1{'q' * 50}") == f"for age1{'q' * 50}"
