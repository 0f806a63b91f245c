"""`mainstay run`: jobs that say how the command ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

TEXT = """
name: x
state_dir: state
watch: {{confirm_after: 10ms}}
services: {{web: {{checks: [{{command: [{program}]}}]}}}}
"""


def test_one_pass_over_all_checks_ends_with_what_they_say(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mainstay.yaml"
    monkeypatch.setenv("MAINSTAY_CONFIG", str(file))
    for program, code in (("'true'", 0), ("'false'", 1)):
        file.write_text(TEXT.format(program=program))
        said = cli("run", "health_check", "--json")
        assert said.code == code, said
        assert said.data["runs"][0]["outcome"]["exit_code"] == code
    assert [one["service"] for one in cli("incidents", "--json").data["incidents"]] == ["web"]


DUE = """
name: x
state_dir: state
jobs: {hello: {command: [echo, hello], at: "* * * * *", timezone: UTC}}
"""


def test_what_is_due_is_done_once_whoever_asks(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text(DUE)
    monkeypatch.setenv("MAINSTAY_CONFIG", str(file))
    said = cli("run", "--due", "hello", "--json")
    (run,) = said.data["runs"]
    assert (said.code, run["summary"], run["key"].startswith("hello@")) == (0, "hello", True)
    again = cli("run", "--due", "hello", "--json").data["runs"]
    assert run["key"] not in [each["key"] for each in again]  # a minute may have passed meanwhile


def test_schedules_are_written_for_others(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text(DUE)
    monkeypatch.setenv("MAINSTAY_CONFIG", str(file))
    said = cli("export", "crontab", "--timezone", "UTC", "--user", "root")
    assert said.code == 0
    assert "crontab -u root" in said.out
    assert f"run --due hello --config {file}" in said.out
    assert "incident owes is sent by the agent" in said.err
    assert "--output DIRECTORY" in cli("export", "systemd").err
    made = cli("export", "systemd", "--output", str(tmp_path), "--json").data
    assert str(tmp_path / "mainstay-hello.timer") in made["written"]
    assert "OnCalendar=*-*-* *:*:00 UTC" in (tmp_path / "mainstay-hello.timer").read_text()
    assert cli("export", "crontab", "--timezone", "Nowhere/Else").code == 2
