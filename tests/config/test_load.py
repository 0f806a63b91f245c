"""What a right file means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mainstay.config.load import find, load
from mainstay.config.model import Config
from mainstay.core.check import Check
from mainstay.core.errors import ConfigError
from mainstay.core.secret import Secret


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Load a text as a file of its own."""

    def load_text(text: str, **options: Any) -> Config:
        file = tmp_path / "mainstay.yaml"
        file.write_text(text)
        return load(file, **{"secrets": False, **options})

    return load_text


def checks(config: Config) -> dict[str, Check]:
    return {identifier: check for identifier, _, check in config.checks()}


def test_three_lines_are_enough(written: Any, tmp_path: Path) -> None:
    config = written("name: shop\nservices:\n  web: {checks: [http: https://example.com/]}\n")
    assert [(identifier, service) for identifier, service, _ in config.checks()] == [("web/http", "web")]
    assert config.timezone == "UTC"
    assert config.journal_url == f"sqlite:///{config.state_dir}/journal.db"
    assert config.file == tmp_path / "mainstay.yaml"
    assert config.web.listen.startswith("127.0.0.1:")


def test_relative_paths_are_relative_to_the_file(written: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir("/")
    config = written(
        "name: shop\nstate_dir: state\njournal: sqlite:///state/j.db\nstorage: {here: {directory: vault}}\n"
    )
    assert config.state_dir == tmp_path / "state"
    assert config.journal_url == f"sqlite:///{tmp_path}/state/j.db"
    assert config.storage["here"].target() == f"directory {tmp_path}/vault"


def test_state_is_kept_where_the_system_says(written: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/private/mainstay")
    assert written("name: x\n").state_dir == Path("/var/lib/private/mainstay")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/jo/.state")
    assert written("name: x\n").state_dir == Path("/home/jo/.state/mainstay")


def test_words_of_yaml_1_1_stay_words(written: Any) -> None:
    config = written("name: no\ntitle: on\nservices:\n  yes: {title: 12:30:45, checks: []}\n")
    assert (config.name, config.title, list(config.services)) == ("no", "on", ["yes"])
    assert config.services["yes"].title == "12:30:45"


def test_anchors_and_merges_work(written: Any) -> None:
    config = written(
        "name: x\nservices:\n  a: &base {critical: true, title: A, checks: [{tcp: a.example.com:1}]}\n"
        "  b: {<<: *base, title: B}\n"
    )
    assert (config.services["b"].critical, config.services["b"].title) == (True, "B")


def test_defaults_of_a_service_and_of_all_reach_its_checks(written: Any) -> None:
    config = written(
        "name: x\nwatch: {every: 1m}\nservices:\n"
        "  a: {every: 20s, checks: [{tcp: a.example.com:1}, {tcp: {address: a.example.com:2, name: own, every: 7s}}]}\n"
        "  b: {checks: [{tcp: b.example.com:1}]}\n"
    )
    assert {name: check.every for name, check in checks(config).items()} == {
        "a/tcp": 20,
        "a/own": 7,
        "b/tcp": 60,
    }


def test_a_time_out_is_no_longer_than_the_interval(written: Any) -> None:
    file = """
name: shop
services:
  web:
    every: 2s
    checks:
      - http: {url: https://example.com/}
      - http: {url: https://example.com/slow, name: slow, every: 30s}
      - tcp: {address: "example.com:80", timeout: 1s}
"""
    found = checks(written(file))
    assert {name: check.timeout for name, check in found.items()} == {
        "web/http": 2,
        "web/slow": 5,
        "web/tcp": 1,
    }
    with pytest.raises(ConfigError, match="asked every 2s but may take 9s"):
        written(file.replace("timeout: 1s", "timeout: 9s"))


def test_backups_go_to_the_only_storage(written: Any) -> None:
    config = written(
        "name: x\nstorage: {here: {directory: b}}\ndatabases:\n  shop: {dsn: {secret: d}, backup: {}}\n"
    )
    backup = config.databases["shop"].backup
    assert backup is not None
    assert backup.storages == ("here",)
    assert backup.keep.daily == 30


def test_a_channel_named_by_its_type_needs_no_further_word(written: Any) -> None:
    config = written(
        "name: x\nnotify:\n  slack: {url: {secret: a}}\n  ops: {slack: {secret: b}}\n  pagerduty: {secret: c}\n"
    )
    kinds = {name: notifier.type_name for name, notifier in config.notify.items()}
    assert kinds == {"slack": "slack", "ops": "slack", "pagerduty": "pagerduty"}


def test_jobs_of_our_own_may_be_tuned_but_not_those_of_databases_and_services(written: Any) -> None:
    config = written(
        "name: x\njobs: {journal_backup: {at: 0 5 * * *}, hourly: {journal_prune: {every: 1h}}}\n"
    )
    assert {name: job.type_name for name, job in config.jobs.items()} == {
        "journal_backup": "journal_backup",
        "hourly": "journal_prune",
    }
    with pytest.raises(ConfigError, match="no such job type: 'heal'"):
        written("name: x\njobs: {again: {heal: {}}}\n")


def test_a_job_of_ones_own_has_its_options_beside_its_command(written: Any) -> None:
    config = written(
        "name: x\njobs:\n"
        "  rates: {command: [rates, --all], at: 30 6 * * *, env: {TOKEN: {secret: a}}}\n"
        "  bare: {command: [ls]}\n"
        "  spelt: {command: {command: [ls], every: 1h}}\n"
        "  close: {entry_point: 'books:close', catch_up: all}\n"
        "  box: {container: {image: 'reports:7', every: 1d}}\n"
    )
    assert {name: job.type_name for name, job in config.jobs.items()} == {
        "rates": "command",
        "bare": "command",
        "spelt": "command",
        "close": "entry_point",
        "box": "container",
    }
    assert config.jobs["rates"].at == "30 6 * * *"
    with pytest.raises(ConfigError, match=r":4: jobs.rates.catchup: unknown option; did you mean catch_up"):
        written("name: x\njobs:\n  rates: {command: [rates],\n    catchup: all}\n")
    with pytest.raises(ConfigError, match=r":4: jobs.rates.command: must be a list"):
        written("name: x\njobs:\n  rates: {every: 1h,\n    command: rates}\n")
    with pytest.raises(ConfigError, match="needs overlap: queue"):
        written("name: x\njobs:\n  rates: {command: [rates], catch_up: all, overlap: skip}\n")


def test_secrets_are_looked_up_only_when_wanted(written: Any) -> None:
    text = "name: x\nnotify: {slack: {secret: slack_url}}\n"
    assert "slack_url" in repr(written(text).notify["slack"])
    config = written(text, secrets=True, environ={"MAINSTAY_SLACK_URL": "https://hooks.example.com/T0/quiet"})
    url = config.notify["slack"].url
    assert isinstance(url, Secret)
    assert url.reveal().endswith("/quiet")
    assert "quiet" not in repr(config)


def test_a_journal_in_a_secret(written: Any) -> None:
    text = "name: x\njournal: {secret: journal_url}\n"
    config = written(text, secrets=True, environ={"MAINSTAY_JOURNAL_URL": "postgresql://u:s3cret@db/j"})
    assert config.journal_url == "postgresql://u:s3cret@db/j"


def test_the_file_is_found_in_the_order_that_is_documented(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no mainstay"):
        find(environ={})
    (tmp_path / "mainstay.yaml").write_text("name: x\n")
    assert find(environ={}) == Path("mainstay.yaml")
    assert find(environ={"MAINSTAY_CONFIG": "/b.yaml"}) == Path("/b.yaml")
    assert find("/a.yaml", environ={"MAINSTAY_CONFIG": "/b.yaml"}) == Path("/a.yaml")
