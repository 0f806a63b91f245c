"""Room on real file systems."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mainstay.checks import DiskCheck
from mainstay.core.check import Answer, Check, Verdict

Ask = Callable[[Check], Awaitable[Answer]]
ROOMY: dict[str, Any] = {"warn": 100, "fail": 100, "inodes_warn": 100, "inodes_fail": 100}


def check(path: Path | str, **options: Any) -> DiskCheck:
    return DiskCheck.model_validate({"path": str(path), **ROOMY, **options})


async def test_figures_are_those_of_the_file_system(tmp_path: Path, ask: Ask) -> None:
    answer = await ask(check(tmp_path))
    seen = os.statvfs(tmp_path)
    assert answer.verdict is Verdict.OK
    assert answer.facts["size"] == seen.f_blocks * seen.f_frsize
    assert 0 <= answer.facts["used_percent"] <= 100
    assert abs(answer.facts["free"] - seen.f_bavail * seen.f_frsize) < 500_000_000
    assert answer.detail.startswith(f"{tmp_path} is {answer.facts['used_percent']:g}% full, ")


@pytest.mark.parametrize(
    ("options", "verdict", "said"),
    [
        ({"warn": 0}, Verdict.WARN, "% full"),
        ({"warn": 0, "fail": "0%"}, Verdict.FAIL, "% full"),
        ({"min_free": "1000TB"}, Verdict.FAIL, "less than 1000.0 TB"),
        ({"inodes_warn": 0}, Verdict.WARN, "of the inodes"),
        ({"inodes_fail": 0}, Verdict.FAIL, "of the inodes"),
    ],
)
async def test_bounds(tmp_path: Path, ask: Ask, options: dict[str, Any], verdict: Verdict, said: str) -> None:
    answer = await ask(check(tmp_path, **options))
    assert answer.verdict is verdict
    assert said in answer.detail


async def test_a_path_that_is_not_there(tmp_path: Path, ask: Ask) -> None:
    answer = await ask(check(tmp_path / "missing"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail == f"{tmp_path / 'missing'} does not exist"
    (tmp_path / "file").write_text("")
    answer = await ask(check(tmp_path / "file" / "below"))
    assert answer.verdict is Verdict.FAIL


async def test_a_file_system_that_hangs_is_asked_once_at_a_time(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A dead network file system cannot be had without a kernel module; the call that hangs can.
    release, calls = threading.Event(), []

    def hanging(path: str) -> os.statvfs_result:
        calls.append(path)
        release.wait(20)
        return real(path)

    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", hanging)
    for _ in range(3):
        answer = await ask(check("/", timeout="50ms"))
        assert answer.verdict is Verdict.FAIL
        assert answer.detail == "/ did not answer within 50ms: is its server gone?"
    assert calls == ["/"]
    release.set()
    assert (await ask(check("/"))).verdict is Verdict.OK


@pytest.mark.parametrize("wrong", ["101%", -1, "many", True])
def test_shares_that_are_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match="write it like 80%"):
        check("/", warn=wrong)


@pytest.mark.parametrize("wrong", [0.8, "0.9"])
def test_a_fraction_is_not_taken_for_a_share(wrong: Any) -> None:
    with pytest.raises(ValueError, match="less than one percent; write it like 80%"):
        check("/", warn=wrong)
    assert check("/", warn="0.8%").warn == 0.8


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"warn": "95%"}, "warn is 95%, above fail at 90%; raise fail too"),
        ({"inodes_warn": 99}, "inodes_warn is 99%, above inodes_fail at 95%"),
    ],
)
def test_nobody_warns_from_above_the_failure(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DiskCheck.model_validate(options)


def test_who_wants_no_warning_says_only_when_it_fails() -> None:
    assert DiskCheck.model_validate({"fail": "70%"}).fail == 70
    assert DiskCheck.model_validate({"fail": "70%", "warn": "100%"}).warn == 100
