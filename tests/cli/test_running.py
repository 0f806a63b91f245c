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
