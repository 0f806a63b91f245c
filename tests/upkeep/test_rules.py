"""Roots that no rule may have, and patterns."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from mainstay.upkeep.cleanup.rules import PathRule, Patterns, refusal, shown


@pytest.mark.parametrize(
    "path",
    [
        "/", "/etc", "/etc/nginx", "/usr", "/usr/share/doc", "/home", "/home/jo", "/root", "/var", "/var/lib", "/srv",
        "/var/lib/postgresql", "/var/lib/postgresql/16/main", "/var/lib/docker/overlay2", "/boot", "/proc/1", "/opt",
        "/tmp/../etc", "/run/x", "/var/lib/mainstay",
    ],
)  # fmt: skip
def test_what_a_system_lives_on_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="name the directory with old files in it"):
        PathRule.model_validate({"path": path})


@pytest.mark.parametrize(
    "path",
    [
        "/tmp",
        "/var/tmp",
        "/var/log",
        "/var/cache/app",
        "/home/jo/.cache",
        "/srv/app",
        "/opt/app/tmp",
        "/data",
    ],
)
def test_what_collects_old_files_is_allowed(path: str) -> None:
    assert refusal(Path(path)) is None


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("*", "a", True),
        ("*", "a/b/.hidden", True),
        ("*.log", "x/y.log", True),
        ("*.log", "x.log/y", False),
        ("*.log", "a\nb.log", True),
        ("x/*.log", "x/y.log", True),
        ("x/*.log", "x/z/y.log", False),
        ("x/**", "x/z/y.log", True),
        ("**/cache/*", "cache/a", True),
        ("**/cache/*", "p/q/cache/a", True),
        ("**/cache/*", "p/mycache/a", False),
        ("dump-[0-9].gz", "dump-7.gz", True),
        ("dump-[!0-9].gz", "dump-7.gz", False),
        ("a?c", "abc", True),
        ("a.c", "abc", False),
        ("(a|b)+", "aa", False),
        ("[x", "[x", True),
        ("*.udc", "\udcff.udc", True),
    ],
)
def test_patterns_cover_names_at_any_depth_and_paths_below_the_root(
    pattern: str, path: str, covered: bool
) -> None:
    assert Patterns([pattern]).cover(path) is covered


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="is not a pattern"):
        PathRule.model_validate({"path": "/var/tmp", "match": ["[z-a]"]})


def test_names_are_shown_without_what_a_terminal_would_obey() -> None:
    assert shown("a\nb\x1b[2J\udcff é") == "a\\nb\\x1b[2J\\xff é"
