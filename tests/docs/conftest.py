"""What a reader of the documents has: mainstay installed from a checkout, a PostgreSQL, free ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.shell import Shell
from tests.helpers import ROOT, bare_environment
from tests.servers.postgres import debian_binaries
from tests.servers.process import missing, servant
from tools.ratchets import tracked_files

SHIM = """#!/bin/sh
# PostgreSQL refuses to run as root: the reader is not root, these tests may be.
mkdir -p pgdata && touch postgres.log && chown {user} pgdata postgres.log
exec setpriv --reuid={uid} --regid={gid} --clear-groups {program} "$@"
"""


def uv() -> str:
    """The program that made this environment, where `./dev` finds it."""
    places = (ROOT / ".cache/uv-venv/bin/uv", ROOT / ".cache/uv-target/bin/uv", Path.home() / ".local/bin/uv")
    found = shutil.which("uv") or next((str(path) for path in places if path.exists()), None)
    return found or missing("uv", "uv")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `git clone` would give, with the changes of this working tree."""
    copy = tmp_path_factory.mktemp("checkout") / "mainstay"
    for path in tracked_files(ROOT):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return copy


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that any account may enter, as a server of PostgreSQL must."""
    made = Path(tempfile.mkdtemp(prefix="mainstay-docs-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def shell(directory: Path) -> Iterator[Callable[[Path], Shell]]:
    """`shell(directory)` is a reader's bash there: tools are installed beside it and nothing else knows of them."""
    with ExitStack() as stack:

        def make(where: Path) -> Shell:
            made = Shell(where, environment(directory))
            stack.callback(made.close)
            return made

        yield make


def environment(directory: Path) -> dict[str, str]:
    """A reader's environment: programs of uv, of PostgreSQL and of the system, caches and tools of its own."""
    shims = directory / "shims"
    shims.mkdir(exist_ok=True)
    (shims / "uv").symlink_to(uv())
    _servers_of_somebody_else(shims)
    tools = directory / "tools"
    path = [str(tools / "bin"), str(shims), os.environ.get("PATH", "/usr/bin:/bin")]
    cache = subprocess.run([uv(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    return bare_environment(
        PATH=os.pathsep.join(path),
        LANG="C.UTF-8",
        LC_ALL="C.UTF-8",
        XDG_CACHE_HOME=str(directory / "cache"),
        UV_CACHE_DIR=cache,
        UV_PYTHON=sys.executable,
        UV_TOOL_DIR=str(tools),
        UV_TOOL_BIN_DIR=str(tools / "bin"),
        MAINSTAY_COMPILE="no",  # it would take a minute, and is tried elsewhere
    )


@pytest.fixture
def developed(shell: Callable[[Path], Shell], directory: Path) -> Shell:
    """A reader's bash in `directory` whose mainstay is this working tree's."""
    made = shell(directory)
    (directory / "shims" / "mainstay").symlink_to(Path(sys.executable).with_name("mainstay"))
    return made


def _servers_of_somebody_else(shims: Path) -> None:
    programs = debian_binaries()
    if programs is None:
        missing("the system's PostgreSQL", "postgresql")
    user = servant()
    for name in ("initdb", "pg_ctl"):
        if user is not None:
            shim = shims / name
            program = programs / name
            shim.write_text(SHIM.format(user=user.pw_name, uid=user.pw_uid, gid=user.pw_gid, program=program))
            shim.chmod(0o755)
