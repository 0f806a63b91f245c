"""How delivery is written in the configuration."""

from __future__ import annotations

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from mainstay.edge.delivery.settings import DeliverTo, DeliverySettings


@pytest.mark.parametrize(
    ("written", "type_name"),
    [
        ("http://127.0.0.1:8069/hooks/bank", "http"),
        ({"secret": "hook_url"}, "http"),
        ({"http": {"url": "https://example.com/", "secret": {"secret": "key"}}}, "http"),
        ({"command": ["/bin/true"]}, "command"),
        ({"command": {"command": ["/bin/true"], "timeout": "5m"}}, "command"),
        ({"entry_point": "invoices.hooks:on_payment"}, "entry_point"),
    ],
)
def test_a_target_is_written_by_its_address_or_its_type(written: object, type_name: str) -> None:
    assert TypeAdapter(DeliverTo).validate_python(written).type_name == type_name


@pytest.mark.parametrize(
    "written",
    [
        "ftp://example.com/",
        "example.com/hook",
        {"http": {"url": "https://me:password@example.com/"}},
        {"http": {"url": "https://example.com/", "headers": {"x y": "z"}}},
        {"http": {"url": "https://example.com/", "headers": {"x": "a\nb"}}},
        {"command": []},
        {"entry_point": "os; import x"},
    ],
)
def test_a_target_that_cannot_be_right_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DeliverTo).validate_python(written)


@pytest.mark.parametrize(("written", "per_second"), [("10/s", 10.0), ("90/min", 1.5), ("1800 / h", 0.5)])
def test_a_rate_is_read(written: str, per_second: float) -> None:
    assert DeliverySettings.model_validate({"rate": written}).rate == per_second


@pytest.mark.parametrize("written", ["0/s", "10", "-1/s", 5, "1.5/s"])
def test_a_rate_that_is_none_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        DeliverySettings.model_validate({"rate": written})


def test_the_schedule_of_standard_webhooks_is_the_default() -> None:
    retry = DeliverySettings().retry
    assert len(retry.delays) + 1 == 10
    assert 75 * 3600 < sum(retry.delays) < 76 * 3600


def test_editors_know_both_ways_to_write_a_target() -> None:
    schema = TypeAdapter(DeliverTo).json_schema()
    check = jsonschema.Draft202012Validator(schema)
    for written in (
        "http://127.0.0.1/",
        {"secret": "url"},
        {"command": ["/bin/true"]},
        {"http": {"url": "http://x/"}},
    ):
        assert check.is_valid(written), written
    assert not check.is_valid({"nonsense": 1})
