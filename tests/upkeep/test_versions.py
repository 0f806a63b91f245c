"""Versions that run out, windows, restarts: what needs no machine of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mainstay.core.secret import Secret
from mainstay.upkeep.patches import restarts, servers
from mainstay.upkeep.patches.job import SecurityPatches
from mainstay.upkeep.patches.versions import OLD, Running, judge, table
from mainstay.upkeep.patches.weakness import Level, Weakness, aged
from mainstay.upkeep.patches.window import DAYS, within
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("product", "version", "day", "level", "words"),
    [
        ("debian", "12", "2026-06-01", None, ""),
        ("debian", "12", "2028-05-01", Level.NOTE, "end on 2028-06-30 (with LTS)"),
        ("debian", "12", "2028-07-01", Level.WARNING, "no security fixes since 2028-06-30"),
        ("postgresql", "16.14", "2026-06-01", None, ""),
        ("postgresql", "14.2", "2026-11-13", Level.WARNING, "since 2026-11-12"),
        ("postgresql", "9.6.24", "2026-06-01", Level.WARNING, "since 2021-11-11"),
        ("python", "3.11.7", "2026-06-01", None, ""),
        ("python", "3.9.2", "2026-06-01", Level.WARNING, "a distribution may mend"),
        ("redis", "7.0.15", "2026-06-01", Level.WARNING, "since 2024-07-29"),
        ("redis", "7.2.4", "2026-06-01", None, ""),
        ("odoo", "16.0", "2026-06-01", Level.WARNING, "since 2025-09-01"),
        ("ubuntu", "24.04", "2026-06-01", None, ""),
        ("postgresql", "99.1", "2026-06-01", Level.UNKNOWN, "does not know"),
        ("alpine", "3.20", "2026-06-01", Level.UNKNOWN, "does not know"),
    ],
)
def test_versions_are_judged_by_the_table(
    product: str, version: str, day: str, level: Level | None, words: str
) -> None:
    found = [
        each
        for each in judge([Running(product, version, "here")], at(day))
        if "over a year" not in each.detail
    ]
    assert [each.level for each in found] == ([level] if level else [])
    assert all(words in each.detail for each in found)


def test_a_table_that_is_old_says_so_itself() -> None:
    seen = table()["python"].seen
    then = datetime(seen.year, seen.month, seen.day, tzinfo=UTC).timestamp()
    running = [Running("python", "3.14.0", "here")]
    assert judge(running, then + (OLD - 1) * 86400) == []
    [old] = judge(running, then + (OLD + 1) * 86400)
    assert (old.level, old.fix) == (Level.UNKNOWN, "upgrade mainstay")


def test_every_row_of_the_table_is_sound() -> None:
    for product in table().values():
        assert product.source.startswith("https://")
        assert product.title
        assert product.ends
        ended = {release: end for release, end in product.ends.items() if end}
        newest_first = sorted(ended, key=lambda name: [int(part) for part in name.split(".")], reverse=True)
        if product.name not in ("ubuntu", "redis"):  # their short-lived releases end before older ones do
            assert [ended[name] for name in newest_first] == sorted(ended.values(), reverse=True)


def test_a_declared_version_is_of_a_known_product() -> None:
    with pytest.raises(ValidationError, match="no table knows oodo"):
        SecurityPatches.model_validate({"versions": {"oodo": "17.0"}})


@pytest.mark.parametrize(
    ("moment", "hours", "days", "inside"),
    [
        ("2026-06-06 03:00", "02:00-05:00", [], True),  # a Saturday
        ("2026-06-06 01:59", "02:00-05:00", [], False),
        ("2026-06-06 05:00", "02:00-05:00", [], False),
        ("2026-06-06 03:00", "02:00-05:00", ["sun"], False),
        ("2026-06-06 23:30", "22:00-03:00", ["sat"], True),
        ("2026-06-07 02:30", "22:00-03:00", ["sat"], True),
        ("2026-06-07 02:30", "22:00-03:00", ["sun"], False),
        ("2026-06-06 12:00", None, ["sat"], True),
        ("2026-06-07 12:00", None, ["sat"], False),
    ],
)
def test_a_window_is_in_local_time_and_may_pass_midnight(
    moment: str, hours: str | None, days: list[str], inside: bool
) -> None:
    local = datetime.fromisoformat(f"{moment}+08:00").timestamp()
    assert within(local, "Asia/Manila", hours, days) is inside  # type: ignore[arg-type]


@given(st.floats(0, 4e9), st.lists(st.sampled_from(DAYS)))
def test_a_window_and_its_complement_cover_every_moment_once(now: float, days: list[str]) -> None:
    if not days:
        both = [within(now, "UTC", hours, []) for hours in ("02:00-22:00", "22:00-02:00")]
        assert sorted(both) == [False, True]


@pytest.mark.parametrize("hours", ["2-5", "02:00-02:00", "25:00-03:00", "02:00"])
def test_a_window_that_is_none_is_refused(hours: str) -> None:
    with pytest.raises(ValidationError, match="is no window"):
        SecurityPatches.model_validate({"window": hours})


def test_what_stays_open_gets_louder_and_keeps_its_first_day() -> None:
    hole = Weakness("python", "x", "y", Level.WARNING, "install x 2")
    hopeless = Weakness("python", "z", "no remedy yet", Level.WARNING)
    later = aged([hole, hopeless], {hole.key: 100.0, hopeless.key: 100.0}, 900.0, 700.0)
    assert [(each.subject, each.level, each.since) for each in later] == [
        ("x", Level.CRITICAL, 100.0),
        ("z", Level.WARNING, 100.0),
    ]
    assert aged([hole], {}, 900.0, 700.0)[0].since == 900.0


async def test_servers_are_asked_for_their_versions(postgres: PostgresServer, redis: RedisServer) -> None:
    with postgres.fresh() as dsn:
        found = await servers.postgres("shop", Secret("dsn", dsn))
    assert isinstance(found, Running)
    assert table()["postgresql"].release(found.version)
    cache = await servers.redis("cache", Secret("url", redis.url))
    assert isinstance(cache, Running)
    assert table()["redis"].release(cache.version)


async def test_servers_that_do_not_answer_are_unknown() -> None:
    for found in (
        await servers.postgres("shop", Secret("dsn", "postgresql://nobody@127.0.0.1:1/x")),
        await servers.redis("cache", Secret("url", "redis://127.0.0.1:1")),
    ):
        assert isinstance(found, Weakness)
        assert found.level is Level.UNKNOWN


def test_the_system_says_what_it_is(tmp_path: Path) -> None:
    assert servers.system(tmp_path) is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME="Ubuntu"\nID=ubuntu\nVERSION_ID="24.04"\n')
    assert servers.system(tmp_path) == Running("ubuntu", "24.04", "this machine")


def test_programs_that_run_replaced_code_are_named(tmp_path: Path) -> None:
    home = tmp_path / "7"
    home.mkdir()
    (home / "comm").write_text("nginx\n")
    line = "7f00-7f01 r-xp 00000000 fe:00 1234                       /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n"
    (home / "maps").write_text(line)
    assert restarts.outdated(tmp_path) == ["nginx"]
    (home / "maps").write_text(line.replace("r-xp", "r--p").replace("/usr/lib", "/tmp"))
    assert restarts.outdated(tmp_path) == []


def test_needrestart_s_batch_is_read() -> None:
    batch = "NEEDRESTART-VER: 3.6\nNEEDRESTART-KSTA: 1\nNEEDRESTART-SVC: nginx.service\nNEEDRESTART-SVC: cron.service\n"
    assert restarts.services_of(batch) == ["cron.service", "nginx.service"]
