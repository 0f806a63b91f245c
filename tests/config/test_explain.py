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
