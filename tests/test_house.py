"""The rules of the house hold, and the tools which hold them can fail."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import ROOT, bare_environment, command
from tools import ratchets

STARTS = 7
START_BUDGET = 0.1
HEAVY = {
    "aiohttp", "asyncssh", "cryptography", "httptools", "jinja2", "obstore", "prometheus_client", "psycopg", "redis",
    "ruamel", "rich", "sqlite3", "starlette", "uvicorn", "uvloop", "zstandard",
}  # fmt: skip


@pytest.mark.parametrize("rule", ratchets.RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: ratchets.Rule) -> None:
    assert list(rule(ROOT)) == []


def repository(base: Path, path: str, text: str) -> Path:
    file = base / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    subprocess.run(["git", "init", "-q", base], check=True)
    return base


LONG_BODY = "    x = 1\n" * 61
BROKEN = {
    "long_modules": ("src/mainstay/a.py", "x = 1\n" * 401, "a.py:1: 401 lines"),
    "long_functions": ("src/mainstay/a.py", f"def f():\n{LONG_BODY}", "a.py:1: f has 62 lines"),
    "long async functions": (
        "tests/a.py",
        f"class A:\n  async def g(self):\n{LONG_BODY}",
        "a.py:2: g has 62",
    ),
    "forbidden_words": ("docs/a.md", "see /" + "work/main/README", "a.md:1: names a path of one machine"),
    "a registry": (
        "dev",
        "\nfetch https://py" + "pi.org/simple",
        "dev:2: names a host of a package registry",
    ),
    "impure_core": ("src/mainstay/core/a.py", "import socket", "a.py:1: core imports socket"),
    "real time": ("src/mainstay/web/a.py", "import time\ntime.time()", "a.py:2: calls time.time"),
    "a sleep in product code": ("src/mainstay/web/a.py", "\nasyncio.sleep(0)", "a.py:2: calls asyncio.sleep"),
    "a sleeping test": ("tests/web/a.py", "asyncio.sleep(0.1)", "a.py:1: sleeps"),
    "an adapter in a room": ("src/mainstay/web/a.py", "Resolver(clock)", "a.py:1: constructs Resolver"),
    "one name for two faults": (
        "src/mainstay/edge/http/a.py",
        "def f():\n try:\n  g()\n except KeyError as e:\n  h(e)\n except OSError as e:\n  h(e)\n",
        "a.py:6: e is two kinds of fault",
    ),
    "a library in core": ("src/mainstay/core/a.py", "from rich import box", "a.py:1: core imports rich"),
}


@pytest.mark.parametrize(("path", "text", "complaint"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_seen(tmp_path: Path, path: str, text: str, complaint: str) -> None:
    found = [line for rule in ratchets.RULES for line in rule(repository(tmp_path, path, text))]
    assert len(found) == 1
    assert complaint in found[0]
    assert "hint:" in found[0]


def test_two_steps_of_the_schema_with_one_number_are_seen(tmp_path: Path) -> None:
    repository(tmp_path, "src/mainstay/store/migrations/0001_a.sql", "SELECT 1;")
    repository(tmp_path, "src/mainstay/store/migrations/0001_b.sql", "SELECT 1;")
    (complaint,) = ratchets.doubled_migrations(tmp_path)
    assert "0001_b.sql:1: 0001 is taken by 0001_a.sql" in complaint


def test_what_is_allowed_is_not_complained_about(tmp_path: Path) -> None:
    docstring = '    """' + "word\n" * 70 + '    """\n'
    text = f"from urllib.parse import quote\nimport pydantic\n\n\ndef f():\n{docstring}    return 1\n"
    repository(tmp_path, "src/mainstay/core/a.py", text)
    repository(tmp_path, "tests/a.py", "asyncio.sleep(0)")
    repository(tmp_path, "src/mainstay/ports/clock.py", "import time\ntime.time()")
    repository(tmp_path, "src/mainstay/app/a.py", "clock = SystemClock()")
    repository(tmp_path, "uv.lock", "https://py" + "pi.org/simple")
    assert [line for rule in ratchets.RULES for line in rule(tmp_path)] == []


def loaded_by(*arguments: str) -> set[str]:
    """The top-level modules which a command has imported when it ends."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr))\n"
        f"sys.argv = ['mainstay', *{list(arguments)!r}]\n"
        "from mainstay.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {name.split(".")[0] for name in done.stderr.split()}


def test_the_version_imports_nothing_heavy() -> None:
    loaded = loaded_by("--version")
    assert "mainstay" in loaded
    assert loaded & HEAVY == set()


def fastest(*argv: str) -> float:
    """The least seconds that a command took from start to end: what it costs when nobody else is busy."""
    times = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run(argv, env=bare_environment(), stdout=subprocess.DEVNULL, timeout=60, check=True)
        times.append(time.perf_counter() - began)
    return min(times)


def test_the_version_is_said_within_a_tenth_of_a_second_over_bare_python() -> None:
    bare = fastest(sys.executable, "-c", "pass")
    assert fastest(*command("--version")) - bare < START_BUDGET


def test_the_version_is_the_package_s() -> None:
    import mainstay

    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip().removeprefix("mainstay ") == mainstay.__version__


def test_dev_explains_itself() -> None:
    done = subprocess.run(["sh", ROOT / "dev"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    for name in ("demo", "test", "check", "bench", "docs"):
        assert f"\n  {name} " in done.stderr
