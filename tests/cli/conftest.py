"""A company's configuration and journal in a directory of its own, and the command line in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mainstay.cli.entry import run
from mainstay.config.load import load
from mainstay.ports.clock import SystemClock
from mainstay.store.base import Tx
from mainstay.store.open import open_store

TEXT = """
name: shop
title: The Shop
state_dir: state
services:
  web: {title: Web shop, critical: true, checks: [{http: http://127.0.0.1:9/}, {tcp: 127.0.0.1:9}]}
  redis: {checks: [{redis: redis://127.0.0.1:9}]}
databases:
  erp: {dsn: {secret: erp_dsn}, backup: {at: 0 2 * * *}}
storage: {vault: {directory: vault}}
readiness: {covered: {renew_ssl: certbot timer on web1}}
"""


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The result for programs."""
        return json.loads(self.out)


Cli = Callable[..., Said]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(arguments)
        return Said(code, *capsys.readouterr())

    return call


class Company:
    """A directory with a configuration."""

    def __init__(self, home: Path, text: str = TEXT) -> None:
        self.home = home
        self.file = home / "mainstay.yaml"
        self.write(text)

    def write(self, text: str) -> None:
        """Replace the configuration."""
        self.file.write_text(text)

    @property
    def journal(self) -> Path:
        return self.home / "state" / "journal.db"

    def change(self, unit: Callable[[Tx], Any]) -> Any:
        """Write to the journal; it is made when it is not there."""

        async def work() -> Any:
            store = await open_store(load(self.file, secrets=False).journal_url, SystemClock())
            try:
                return await store.write(unit)
            finally:
                await store.close()

        return asyncio.run(work())


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    """The present directory has a configuration; no journal yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("MAINSTAY_CONFIG", "MAINSTAY_ERP_DSN", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Company(tmp_path)


@pytest.fixture
def now() -> float:
    """The time of this machine, seconds since 1970."""
    return SystemClock().now()
