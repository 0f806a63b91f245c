"""Which processes `mainstay up` keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mainstay.app import edge
from mainstay.app.listeners import Opening
from mainstay.app.up import children_of
from mainstay.config import load
from mainstay.config.model import Config


@pytest.mark.parametrize(("processes", "names"), [(1, ["edge"]), (3, ["edge-1", "edge-2", "edge-3"])])
def test_there_are_as_many_edges_as_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, names: list[str]
) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text(f"name: x\nedge: {{processes: {processes}}}\n")
    assert children_of(load(file)) == {"agent": "agent", "web": "web"}

    def handlers(config: Config) -> Mapping[str, Opening]:
        return {"gateway": lambda around: (_ for _ in ()).throw(AssertionError)}

    monkeypatch.setattr(edge, "handlers_of", handlers)
    assert children_of(load(file)) == {"agent": "agent", "web": "web", **dict.fromkeys(names, "edge")}
