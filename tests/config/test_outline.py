"""Commands that only look know a validated file without validating it again, and never a changed one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay.config.outline import Outline, outline
from mainstay.core.errors import ConfigError

TEXT = """
name: shop
title: The Shop
timezone: Asia/Manila
state_dir: state
services:
  web: {critical: true, runs_on: docker:web, heal: restart, checks: [{http: https://example.com/}]}
databases: {shop: {dsn: {secret: shop_dsn}, backup: {}}}
storage: {far: {s3: {bucket: shop-backups}}}
notify: {pagerduty: {routing_key: {secret: pagerduty_key}, when: critical}}
readiness: {covered: {renew_ssl: certbot timer on web1}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mainstay.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def kept(environ: dict[str, str]) -> list[Path]:
    return sorted(Path(environ["XDG_CACHE_HOME"]).glob("mainstay/*"))


def test_the_second_look_is_equal_to_the_first(file: Path, environ: dict[str, str]) -> None:
    first = outline(file, environ)
    (cached,) = kept(environ)
    assert cached.stat().st_mode & 0o777 == 0o600
    assert outline(file, environ) == first
    assert first.journal_file == file.parent / "state/journal.db"
    assert first.setup.services[0].checks[0].id == "web/http"
    assert first.setup.storages[0].elsewhere
    assert first.setup.covered == {"renew_ssl": "certbot timer on web1"}


def test_a_changed_file_is_validated_anew(file: Path, environ: dict[str, str]) -> None:
    outline(file, environ)
    file.write_text(TEXT.replace("The Shop", "The Other"))
    assert outline(file, environ).setup.title == "The Other"
    file.write_text(TEXT.replace("critical: true", "critical: maybe"))
    with pytest.raises(ConfigError, match="must be true or false"):
        outline(file, environ)


def test_who_only_looks_is_shown_the_file_as_it_last_was_right(file: Path, environ: dict[str, str]) -> None:
    said: list[str] = []
    right = outline(file, environ, said.append)
    file.write_text(TEXT.replace("critical: true", "critical: maybe"))
    assert outline(file, environ, said.append) == right
    [words] = said
    assert "must be true or false" in words
    assert words.endswith("until that is mended, the file counts as it last was right")
    file.write_text(TEXT)
    assert outline(file, environ, said.append) == right
    assert len(said) == 1


def test_of_many_faults_who_only_looks_is_told_the_first(file: Path, environ: dict[str, str]) -> None:
    said: list[str] = []
    outline(file, environ, said.append)
    file.write_text(TEXT.replace("critical: true", "critical: maybe") + "one: 1\ntwo: 2\n")
    outline(file, environ, said.append)
    first, more, last = said[0].splitlines()
    assert "must be true or false" in first
    assert more == "and 2 more: mainstay config check"
    assert last.startswith("until that is mended")


def test_a_file_that_never_was_right_or_is_gone_shows_nothing(file: Path, environ: dict[str, str]) -> None:
    file.write_text("nme: shop\n")
    with pytest.raises(ConfigError, match="did you mean name"):
        outline(file, environ, print)
    file.write_text(TEXT)
    outline(file, environ, print)
    file.unlink()
    with pytest.raises(ConfigError):
        outline(file, environ, print)


@pytest.mark.parametrize("rubbish", ["", "{}", "not json", '{"key": 1}'])
def test_a_damaged_cache_only_costs_time(file: Path, environ: dict[str, str], rubbish: str) -> None:
    first = outline(file, environ)
    (cached,) = kept(environ)
    cached.write_text(rubbish)
    assert outline(file, environ) == first
    assert json.loads(cached.read_text())["setup"]["name"] == "shop"


def test_facts_of_another_version_are_not_used(file: Path, environ: dict[str, str]) -> None:
    first = outline(file, environ)
    (cached,) = kept(environ)
    data = json.loads(cached.read_text())
    data["setup"]["invented"] = 1
    cached.write_text(json.dumps(data))
    assert outline(file, environ) == first


def test_without_a_cache_directory_it_works_too(file: Path) -> None:
    assert outline(file, {}).setup.name == "shop"


def test_a_journal_behind_a_secret_is_kept_by_name_only(
    file: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("name: shop\njournal: {secret: journal_url}\n")
    monkeypatch.setenv("MAINSTAY_JOURNAL_URL", "postgresql://u:s3cret@db/journal")
    found: Outline = outline(file, environ)
    assert found.journal_is_secret
    assert found.journal_url() == "postgresql://u:s3cret@db/journal"
    assert "s3cret" not in kept(environ)[0].read_text()
    monkeypatch.delenv("MAINSTAY_JOURNAL_URL")
    with pytest.raises(ConfigError, match="secret journal_url is missing"):
        found.journal_url()


def test_the_second_look_imports_neither_pydantic_nor_yaml(file: Path, environ: dict[str, str]) -> None:
    outline(file, environ)
    program = (
        "import sys; from pathlib import Path; from mainstay.config.outline import outline\n"
        f"outline(Path({str(file)!r})); print(sorted({{'pydantic', 'ruamel.yaml', 'asyncio'}} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
