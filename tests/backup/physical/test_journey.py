"""The whole way, with the real agent and the real commands: yesterday's table is back in a few minutes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import ROOT, bare_environment, command, eventually, mainstay
from tests.servers.postgres import PostgresServer

FILE = """
name: example
state_dir: state
databases:
  shop:
    dsn: {{secret: shop_dsn}}
    wal: {{markers: 1s, ship_every: 200ms, mode: synchronous}}
storage:
  vault: {{directory: {vault}}}
"""


@contextlib.contextmanager
def agent(folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            command("up", "--only", "agent"),
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


@pytest.mark.slow
def test_a_table_is_back_after_a_wrong_delete(
    tmp_path: Path, primaries: Callable[[], PostgresServer]
) -> None:
    server = primaries()
    server.execute("CREATE TABLE sale (id int PRIMARY KEY, note text)")
    server.execute("INSERT INTO sale SELECT n, 'sale ' || n FROM generate_series(1, 1000) n")
    server.execute("ALTER SYSTEM SET synchronous_commit = on")
    server.execute("SELECT pg_reload_conf()")
    (tmp_path / "mainstay.yaml").write_text(FILE.format(vault=tmp_path / "vault"))
    env = bare_environment(MAINSTAY_SHOP_DSN=server.dsn(), PYTHONPATH=str(ROOT / "src"))

    def run(*arguments: str, code: int = 0) -> Any:
        done = mainstay(*arguments, "--json", cwd=tmp_path, env=env)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    with agent(tmp_path, env) as process:
        eventually(lambda: list((tmp_path / "vault").rglob("base.json")), 60)
        # Commits wait for the copy, also after the agent was killed: another one takes over.
        eventually(lambda: server.execute("SHOW synchronous_standby_names") == [('"mainstay_shop"',)], 60)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with agent(tmp_path, env):
        server.execute("INSERT INTO sale VALUES (1001, 'the last one')")
        ((before,),) = server.execute("SELECT clock_timestamp() + interval '0.3 s'")
        eventually(lambda: server.execute(f"SELECT clock_timestamp() > '{before}'") == [(True,)])
        server.execute("DELETE FROM sale WHERE id > 10")
        eventually(
            lambda: (
                server.execute(
                    f"SELECT count(*) > 1 FROM mainstay.marker WHERE at > timestamptz '{before}' + interval '1 s'"
                )
                == [(True,)]
            ),
            30,
        )
        planned = run("restore", "shop", "--to", before.isoformat(), "--tables", "sale", "--dry-run")
        assert planned["missing"] is None
        done = run("restore", "shop", "--to", before.isoformat(), "--tables", "public.sale")
        (proof,) = run("backup", "prove", "--all")["proofs"]
        assert (proof["verdict"], proof["rows"] > 0, proof["restore_seconds"] > 0) == (
            "proven",
            True,
            True,
        ), proof
    assert done["rows"] == {"sale": 1001}
    assert done["complaints"] == []
    assert server.execute("SELECT count(*) FROM sale") == [(10,)]
    (statement,) = done["bring_back"]
    assert statement.startswith(f"INSERT INTO public.sale SELECT * FROM {done['schema']}.sale ")
    server.execute(statement)
    assert server.execute("SELECT count(*), max(id) FROM sale") == [(1001, 1001)]
    # A mainstay that ends in order holds nobody up.
    assert server.execute("SHOW synchronous_standby_names") == [("",)]
    assert run("incidents")["incidents"] == []
