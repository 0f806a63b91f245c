"""Throwaway servers: closed to others, gone with their owner however it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from mainstay.backup.session import session
from mainstay.ports.postgres.child import Child, child
from mainstay.ports.postgres.dsn import PostgresError
from mainstay.ports.postgres.sandbox import end_leftovers, sandbox
from mainstay.ports.postgres.tools import SERVER, Tools, Toolset
from mainstay.ports.scratch import Scratch
from tests.helpers import aeventually, eventually

ROOT = os.geteuid() == 0


def servers() -> list[Toolset]:
    return [each for each in Tools().all() if each.has(*SERVER)]


def running(folder: Path) -> list[int]:
    """The processes whose command line mentions a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("toolset", servers(), ids=str)
async def test_a_server_comes_and_goes(tmp_path: Path, toolset: Toolset) -> None:
    scratch = Scratch(tmp_path / "scratch")
    with scratch.workspace() as space:
        async with sandbox(toolset, space) as server:
            async with session(server.dsn()) as connection:
                row = await (await connection.execute("SHOW listen_addresses")).fetchone()
                assert row == ("",)
                await connection.execute("CREATE TABLE public.t AS SELECT generate_series(1, 1000)")
            data = server.data
            socket = Path(server.dsn().params["host"])
            owner = data.stat().st_uid
            assert owner == os.geteuid() or (ROOT and owner != 0)
            for folder in (data, socket):
                assert any(not p.stat().st_mode & stat.S_IXOTH for p in (folder, *folder.parents)), folder
            assert running(data)
        assert running(data) == []
        assert not data.exists()
    assert list(scratch.root.iterdir()) == []
    assert not data.parent.exists()


async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    with Scratch(deep).workspace() as space:
        async with sandbox(servers()[0], space) as server, session(server.dsn()) as connection:
            assert len(server.dsn().params["host"]) < 90
            await connection.execute("SELECT 1")


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    good = servers()[0]
    broken = tmp_path / "programs" / "bin"
    broken.mkdir(parents=True)
    for folder in (tmp_path, broken.parent, broken):
        folder.chmod(0o755)
    (broken / "initdb").write_text("#!/bin/sh\necho 'initdb: error: no space' >&2\nexit 1\n")
    (broken / "initdb").chmod(0o755)
    toolset = Toolset(broken, good.version, "system")
    with pytest.raises(PostgresError, match="cannot make a server: initdb: error: no space"):
        await start(tmp_path, toolset)
    (broken / "initdb").write_text(f'#!/bin/sh\nexec {good.bin}/initdb "$@"\n')
    (broken / "postgres").write_text("#!/bin/sh\necho 'FATAL: not today' >&2\nexit 1\n")
    (broken / "postgres").chmod(0o755)
    with pytest.raises(PostgresError, match="did not start: FATAL: not today"):
        await start(tmp_path, toolset)


async def start(folder: Path, toolset: Toolset) -> None:
    with Scratch(folder / "scratch").workspace() as space:
        async with sandbox(toolset, space):
            pass


OWNER = """
import asyncio, sys
from pathlib import Path
from mainstay.ports.postgres.sandbox import sandbox
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch

async def main():
    with Scratch(Path(sys.argv[1])).workspace() as space:
        async with sandbox(Tools(only=("wheel",)).server(16), space) as server:
            print(server.data, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def owner(root: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    data = Path(process.stdout.readline().strip())
    assert running(data)
    return process, data


def test_a_killed_owner_takes_its_server_along(tmp_path: Path) -> None:
    process, data = owner(tmp_path / "scratch")
    process.kill()
    process.communicate()
    eventually(lambda: not running(data))
    eventually(lambda: not data.exists())
    Scratch(tmp_path / "scratch").sweep(end_leftovers)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not data.parent.exists()


def test_a_server_whose_guard_was_killed_too_is_swept(tmp_path: Path) -> None:
    process, data = owner(tmp_path / "scratch")
    server = int((data / "postmaster.pid").read_text().split()[0])
    guard = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    for shell in (guard, *children(guard)):
        if shell != server:
            os.kill(shell, signal.SIGKILL)
    process.kill()
    process.communicate()
    assert server in running(data)
    assert Scratch(tmp_path / "scratch").sweep(end_leftovers) == 1
    assert server not in running(data)
    assert list((tmp_path / "scratch").iterdir()) == []


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_number_that_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    (tmp_path / "data/postmaster.pid").write_text(f"{bystander.pid}\n{tmp_path}/data\n")
    end_leftovers(tmp_path)
    assert bystander.poll() is None
    (tmp_path / "data/postmaster.pid").write_text("4194305\n")
    end_leftovers(tmp_path)
    (tmp_path / "data/postmaster.pid").write_text("nonsense")
    end_leftovers(tmp_path)
    bystander.communicate(b"")


async def test_a_child_is_ended_with_the_block_and_its_words_are_kept() -> None:
    heard: list[str] = []
    argv = ["/bin/sh", "-c", "echo first >&2; echo second >&2; exec tail -f /dev/null"]
    async with child(argv, env=dict(os.environ), on_line=heard.append) as running_child:
        await aeventually(lambda: len(heard) == 2)
        assert alive(running_child)
    assert not alive(running_child)
    assert running_child.said.startswith("first\nsecond")


def alive(running_child: Child) -> bool:
    return running_child.process.returncode is None


async def test_a_child_has_its_own_exit_code_and_input() -> None:
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)
    async with child(
        ["/bin/sh", "-c", "cat; exit 7"], env=dict(os.environ), stdin=read, stdout=PIPE
    ) as running_child:
        os.close(read)
        assert running_child.process.stdout is not None
        assert await running_child.process.stdout.read() == b"hello"
        assert await running_child.finish() == 7


async def test_a_program_that_is_not_there_is_an_exit_code() -> None:
    async with child(["/no/such/program"], env=dict(os.environ)) as running_child:
        assert await running_child.finish() == 127
    assert "not found" in running_child.said
