"""Which processes `mainstay up` keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.app.up import _read_anew, children_of, edge_lines
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


def test_the_first_edge_may_come_by_a_changed_file_but_not_another_number_of_them(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: x\n")
    without = load(file)
    file.write_text("name: x\nnonsense: 1\n")
    assert _read_anew(without) is without
    file.write_text("name: x\n" + GATEWAY)
    with_one = _read_anew(without)
    assert "edge" in children_of(with_one)
    file.write_text("name: x\n" + GATEWAY + "edge: {processes: 3}\n")
    assert _read_anew(with_one) is with_one


def test_it_says_where_the_edge_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_HOOK", "shared-with-the-sender")
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: shop\n")
    assert edge_lines(load(file)) == []
    file.write_text(
        'name: shop\nedge: {webhooks: ":8421", gateway: "[::]:8422"}\n'
        "webhooks: {bank: {secrets: [{secret: hook}]}}\n"
        'gateway: {decide: {}, routes: [{path: /, origin: "http://127.0.0.1:9"}]}\n'
    )
    assert edge_lines(load(file)) == [
        "webhooks are taken at http://127.0.0.1:8421/NAME",
        "the gateway is at http://[::1]:8422",
        "other proxies ask it at http://127.0.0.1:8423/decide/",
    ]
