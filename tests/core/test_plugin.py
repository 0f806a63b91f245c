"""Plug-ins register themselves and are written as {TYPE: options}."""

from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from mainstay.core.plugin import Plugin, Settings, Tagged
from mainstay.core.secret import SecretUrl
from mainstay.core.service import Process, RunsOn, Unit


class Fruit(Plugin, kind="fruit"):
    ripe: bool = True


class Apple(Fruit, type="apple", shorthand="name"):
    name: str


class Pear(Fruit, type="pear", shorthand="url"):
    url: SecretUrl


class Fig(Fruit, type="fig"):
    count: int = 1


class Basket(Settings):
    fruit: list[Annotated[Fruit, Tagged(Fruit)]] = []
    runs_on: RunsOn | None = None


def test_types_register_with_their_kind_only() -> None:
    assert set(Fruit.registry) == {"apple", "pear", "fig"}
    assert Plugin.registry == {}
    assert Apple.kind == "fruit"
    assert Apple.type_name == "apple"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"apple": "Fuji"}, Apple(name="Fuji")),
        ({"apple": {"name": "Fuji", "ripe": False}}, Apple(name="Fuji", ripe=False)),
        ("fig", Fig()),
        ({"fig": None}, Fig()),
        ({"fig": {"count": 3}}, Fig(count=3)),
        (Fig(count=2), Fig(count=2)),
    ],
)
def test_a_plugin_is_read_in_every_spelling(written: Any, meant: Fruit) -> None:
    assert Basket(fruit=[written]).fruit == [meant]


def test_a_bare_secret_is_a_value_not_options() -> None:
    basket = Basket.model_validate({"fruit": [{"pear": {"secret": "orchard"}}]})
    assert isinstance(basket.fruit[0], Pear)
    assert basket.fruit[0].url.name == "orchard"


@pytest.mark.parametrize(
    ("written", "place", "words"),
    [
        ({"aple": "Fuji"}, ("fruit", 0), "known types: apple, fig, pear"),
        ({"apple": 1, "fig": 2}, ("fruit", 0), "known types"),
        (7, ("fruit", 0), "known types"),
        ({"apple": {"name": 5}}, ("fruit", 0, "apple", "apple", "name"), "valid string"),
        ({"fig": {"cuont": 5}}, ("fruit", 0, "fig", "fig", "cuont"), "Extra inputs"),
    ],
)
def test_a_fault_names_its_place(written: Any, place: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Basket.model_validate({"fruit": [written]})
    (fault,) = caught.value.errors()
    assert fault["loc"] == place
    assert words in fault["msg"]


def test_the_schema_lists_every_type_and_its_short_form() -> None:
    options = Basket.model_json_schema()["properties"]["fruit"]["items"]["oneOf"]
    assert [next(iter(option["properties"])) for option in options] == ["apple", "fig", "pear"]
    assert {"title": "Name", "type": "string"} in options[0]["properties"]["apple"]["anyOf"] or any(
        entry.get("type") == "string" for entry in options[0]["properties"]["apple"]["anyOf"]
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("systemd:odoo.service", Unit(kind="systemd", name="odoo.service")),
        ("docker:odoo-web", Unit(kind="docker", name="odoo-web")),
        ("swarm:odoo_web", Unit(kind="swarm", name="odoo_web")),
        ({"process": {"command": ["api", "8000"]}}, Process(command=["api", "8000"])),
        ({"process": ["api"]}, Process(command=["api"])),
    ],
)
def test_what_runs_a_service_is_read(written: Any, meant: Process | Unit) -> None:
    assert Basket(runs_on=written).runs_on == meant


@pytest.mark.parametrize(
    "written", ["odoo", "systemd:", "systemd:--now", "docker:a b", {"process": {}}, {"proces": {}}, 5]
)
def test_what_cannot_run_a_service_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        Basket(runs_on=written)
