"""What is in force, in words."""

from __future__ import annotations

from pathlib import Path

from mainstay.config.explain import Line, explain
from mainstay.config.load import load


def lines(tmp_path: Path, text: str) -> dict[str, Line]:
    file = tmp_path / "mainstay.yaml"
    file.write_text(text)
    return {line.name: line for line in explain(load(file, secrets=False))}


def test_values_defaults_durations_sizes_secrets_and_schedules(tmp_path: Path) -> None:
    found = lines(
        tmp_path,
        "name: x\ntimezone: Asia/Manila\nstorage: {v: {directory: /v}}\n"
        "services: {web: {critical: true, every: 90s, checks: [{http: https://example.com/}]}}\n"
        "databases: {shop: {dsn: {secret: shop_dsn}, backup: {at: 30 1 * * 1}}}\n",
    )
    assert (found["name"].value, found["name"].given) == ("x", True)
    assert (found["services.web.critical"].value, found["services.web.title"].value) == ("true", "-")
    assert found["services.web.every"].value == "1m 30s"
    assert found["services.web.checks[0]"].value == "http"
    assert found["services.web.checks[0].http".removesuffix(".http") + ".url"].value == "https://example.com/"
    assert found["databases.shop.dsn"].value == "{secret: shop_dsn}"
    assert not found["databases.shop.backup.keep.daily"].given
    assert "01:30" in found["databases.shop.backup.at"].note
    assert "Asia/Manila" in found["databases.shop.backup.at"].note


def test_no_value_is_missing_for_any_option(tmp_path: Path) -> None:
    found = lines(tmp_path, "name: x\n")
    assert found["web.session"].value == "7d"
    assert found["jobs"].value == "{}"
    assert all(
        line.value or any(other.startswith(f"{name}.") for other in found) for name, line in found.items()
    )


def test_what_a_check_has_from_its_service_is_what_is_in_force(tmp_path: Path) -> None:
    found = lines(
        tmp_path,
        "name: x\nwatch: {every: 1m}\nservices:\n"
        "  web: {every: 2s, checks: [http: https://example.com/, {tcp: {address: 'a:1', every: 10s}}]}\n"
        "  machine: {checks: [disk: {warn: 70}, command: {command: ['true', '8069', -x, /bin/sh]}]}\n",
    )
    assert found["services.web.checks[0].every"][1:] == ("2s", True, "from services.web.every")
    assert found["services.web.checks[0].timeout"][1:] == ("2s", True, "no longer than every")
    assert found["services.web.checks[1].every"][1:] == ("10s", True, "")
    assert found["services.web.checks[1].timeout"][1:] == ("5s", False, "")
    assert found["services.machine.checks[0].every"][1:] == ("1m", True, "from watch.every")
    assert (
        found["services.machine.checks[0].warn"].value,
        found["services.machine.checks[0].fail"].value,
    ) == (
        "70%",
        "90%",
    )
    assert found["services.machine.checks[1].command"].value == '["true", "8069", -x, /bin/sh]'
