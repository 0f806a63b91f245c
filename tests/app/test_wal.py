"""Whose log is kept, and whose was."""

from __future__ import annotations

from pathlib import Path

from mainstay.app.wal import known_logs
from mainstay.config import load


def test_a_server_whose_log_was_kept_here_once_is_not_forgotten(tmp_path: Path) -> None:
    """Its slot would keep its log, until its disk is full."""
    file = tmp_path / "mainstay.yaml"
    file.write_text(
        f"name: x\nstate_dir: {tmp_path}/state\nstorage: {{vault: {{directory: {tmp_path}/vault}}}}\n"
        "databases:\n  never: {dsn: 'postgresql://db/never'}\n  once: {dsn: 'postgresql://db/once'}\n"
        "  now: {dsn: 'postgresql://db/now', wal: {to: vault}}\n"
    )
    (tmp_path / "state/wal/once").mkdir(parents=True)
    assert known_logs(load(file)) == {"once", "now"}
