"""Who takes webhooks in: ours, and what one would use instead."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.arena.ring import Contestant, Team, found
from mainstay.edge.inbox.turn import AGENT
from tests.helpers import eventually
from tests.servers.process import LOOPBACK, free_port

SECRET = "0123456789abcdef0123456789abcdef"
BODY = 1024

OURS = """
name: bench
journal: sqlite:///journal.db
state_dir: {base}/state
edge: {{webhooks: "127.0.0.1:{port}", gateway: "127.0.0.1:{other}"}}
webhooks:
  bench:
    scheme: {{hmac: {{header: X-Signature, encoding: hex, prefix: "sha256=", id: X-Event-Id}}}}
    secrets: [{{secret: webhook_bench}}]
"""


@dataclass
class Entry:
    """A contestant that runs, and how many events it has kept."""

    team: Team
    kept: Callable[[], int]
    keeps: bool = True
    """Whether it promises to have kept what it acknowledged."""
    later: bool = False
    """Whether what comes after the answer waits for the end of the load."""


Start = Callable[[Mapping[str, str]], Entry | None]
"""Starts somebody with these variables added to its environment; None when a program is missing."""


def ours(env: Mapping[str, str], *, later: bool = True) -> Entry:
    """The edge as it ships, and the agent that brings what it took into the journal, both on one core.

    A peer's list is read by nobody while it is measured; so the agent waits for the end of the load, or does not wait.
    """
    made = configured("edge")
    environment = {"MAINSTAY_WEBHOOK_BENCH": SECRET, **env}
    made.python("mainstay", "up", "--only", "edge", env=environment)
    importer = Contestant("agent")
    importer.beside(made, "mainstay", "up", "--only", "agent", env=environment)
    # Before it is there, the edge does its work.
    eventually(partial(held, made.base / "state" / "inbox" / AGENT), 60)
    return Entry(Team([made, importer]), partial(rows, made.base / "journal.db"), later=later)


def held(lock: Path) -> bool:
    """Whether somebody holds a lock file for himself."""
    with lock.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def same_store(env: Mapping[str, str]) -> Entry:
    """uvicorn before everything of ours that judges and stores."""
    made = configured("uvicorn")
    made.python("bench.arena.app_store", str(made.port), env={"MAINSTAY_WEBHOOK_BENCH": SECRET, **env})
    return Entry(Team([made]), partial(rows, made.base / "journal.db"))


def configured(name: str) -> Contestant:
    """A contestant with our configuration in its directory."""
    made = Contestant(name)
    text = OURS.format(base=made.base, port=made.port, other=free_port())
    (made.base / "mainstay.yaml").write_text(text)
    return made


def fastapi_redis(env: Mapping[str, str]) -> Entry | None:
    """FastAPI that pushes to a Redis whose log is flushed before every answer."""
    program = found("redis-server")
    if program is None:
        return None
    redis = Contestant("redis")
    argv = [program, "--port", str(redis.port), "--bind", LOOPBACK, "--save", ""]
    redis.launch([*argv, "--appendonly", "yes", "--appendfsync", "always"], env)
    web = Contestant("fastapi")
    variables = {"MAINSTAY_BENCH_SECRET": SECRET, **env}
    web.python("bench.arena.app_fastapi", str(web.port), str(redis.port), env=variables)
    return Entry(Team([web, redis]), partial(listed, redis.port))


def debian_webhook(env: Mapping[str, str], *, waits: bool) -> Entry | None:
    """Debian's `webhook`, which starts a script for every event: one that flushes a file of its own to disk."""
    program = found("webhook")
    if program is None:
        return None
    made = Contestant("webhook")
    script = made.base / "keep"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$1" >"$2.json" && exec sync -d "$2.json"\n')
    script.chmod(0o755)
    (made.base / "hooks.json").write_text(json.dumps([hook(script, waits=waits)]))
    argv = [program, "-hooks", "hooks.json", "-ip", LOOPBACK, "-port", str(made.port), "-urlprefix", ""]
    made.launch(argv, {"GOMAXPROCS": "1", **env})
    return Entry(Team([made]), lambda: sum(1 for _ in made.base.glob("*.json")) - 1, keeps=waits)


def hook(script: Path, *, waits: bool) -> dict[str, object]:
    """The configuration of one hook."""
    signature = {"source": "header", "name": "X-Signature"}
    rule = {"match": {"type": "payload-hmac-sha256", "secret": SECRET, "parameter": signature}}
    arguments: list[dict[str, str]] = [{"source": "entire-payload"}, {"source": "payload", "name": "id"}]
    return {
        "id": "bench",
        "execute-command": str(script),
        "command-working-directory": str(script.parent),
        "pass-arguments-to-command": arguments,
        "include-command-output-in-response": waits,
        "success-http-response-code": 202,
        "trigger-rule": rule,
        "trigger-rule-mismatch-http-response-code": 401,
    }


def rows(journal: Path) -> int:
    """Events in a journal."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as opened:
        return int(opened.execute("SELECT count(*) FROM inbox").fetchone()[0])


def listed(port: int) -> int:
    """Events in Redis."""
    import redis

    with redis.Redis(host=LOOPBACK, port=port) as client:
        return int(client.execute_command("LLEN", "inbox"))


def signed(word: str, count: int, port: int) -> list[bytes]:
    """So many requests as `webhooks.lua` makes them."""
    return [request(f"{word}{number:012d}", port) for number in range(count)]


def request(id: str, port: int) -> bytes:
    start = f'{{"id": "{id}", "type": "payment.settled", "amount": 10.0, "note": "'
    body = f'{start}{"x" * (BODY - len(start) - 2)}"}}'.encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST /bench HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nContent-Type: application/json\r\nUser-Agent: bench/1\r\n"
        f"Content-Length: {BODY}\r\nX-Event-Id: {id}\r\nX-Signature: sha256={signature}\r\n\r\n"
    )
    return head.encode() + body


def slow_disk(directory: Path) -> dict[str, str] | None:
    """The environment in which every flush to disk takes 5 ms; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        print("no C compiler: the slow disk is left out. hint: install gcc", file=sys.stderr)
        return None
    import subprocess

    library = directory / "slow_disk.so"
    source = Path(__file__).with_name("slow_disk.c")
    argv = [compiler, "-shared", "-fPIC", "-O2", "-nostdlib", "-o", str(library), str(source)]
    subprocess.run(argv, check=True, capture_output=True)
    return {"LD_PRELOAD": str(library)}
