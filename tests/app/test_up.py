"""Which processes `mainstay up` keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.app.up import children_of
from mainstay.config import load

GATEWAY = "gateway: {routes: [{origin: 'http://127.0.0.1:1'}]}\n"
WEBHOOKS = "webhooks: {bank: {scheme: none, allow_from: [10.0.0.1]}}\n"


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ("", []),
        (GATEWAY, ["edge"]),
        (WEBHOOKS, ["edge"]),
        (GATEWAY + "edge: {processes: 3}\n", ["edge-1", "edge-2", "edge-3"]),
    ],
)
def test_there_are_as_many_edges_as_are_asked_for(tmp_path: Path, more: str, names: list[str]) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: x\n" + more)
    assert children_of(load(file)) == {"agent": "agent", "web": "web", **dict.fromkeys(names, "edge")}
