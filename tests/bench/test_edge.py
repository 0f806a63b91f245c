"""The ring in which the edge meets its peers: what it sends is accepted, what is spent is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.arena import gateway, webhooks
from bench.arena.pace import steady
from bench.arena.ring import found
from bench.edge import INTAKES
from bench.rows import load_goals
from tests.helpers import eventually
from tests.servers.process import missing

pytestmark = pytest.mark.skipif(found("taskset") is None, reason="programs cannot be pinned to a core here")


def test_ours_keeps_every_webhook_that_the_bench_sends(tmp_path: Path) -> None:
    entry = webhooks.ours({})
    try:
        before = entry.team.spent()
        steady(entry.team, 0.5, webhooks.signed("t-", 800, entry.team.port), tmp_path)
        assert eventually(lambda: entry.kept() > 250)  # they are brought into the journal after the answer
        assert entry.team.spent() > before
        assert 0 < entry.team.loop() < entry.team.spent()
    finally:
        entry.team.close()
    assert not entry.team[0].base.exists()


def test_ours_carries_every_request_of_the_bench_to_the_origin(tmp_path: Path) -> None:
    origin = gateway.origin()
    if origin is None:
        missing("nginx", "nginx-light")
    team = gateway.contestants(origin.port)["ours"]()
    try:
        assert team is not None
        calm = steady(team, 0.5, gateway.requests("/1k", team.port), tmp_path)
        assert 0 < calm.mean <= calm.p99
        assert team.spent() > 0
        assert team.memory() > 1
    finally:
        origin.close()
        if team is not None:
            team.close()


def test_every_goal_of_a_peer_is_that_of_a_contestant() -> None:
    for bench, trial in load_goals():
        if bench == "edge" and trial.startswith("webhooks_rate_"):
            assert trial.removeprefix("webhooks_rate_") in INTAKES
        if bench == "edge" and trial.startswith("gateway_cpu_"):
            size, _, peer = trial.removeprefix("gateway_cpu_").rpartition("_")
            assert size in gateway.LOADS
            assert peer in gateway.NAMES
