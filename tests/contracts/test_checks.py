"""What every type of check must do, on a healthy target and on a broken one.

A new type needs an entry in `TARGETS`; without one its contract fails.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from mainstay import checks
from mainstay.core.check import Check, Verdict
from mainstay.core.secret import SecretUrl
from mainstay.engine.watch import Watch, Watched
from mainstay.ports.clock import SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.store.glance import glance
from tests.edge.delivery import post
from tests.journals import sqlite_journal
from tests.places import Say
from tests.servers.authority import Authority
from tests.servers.postgres import PostgresServer
from tests.servers.process import LOOPBACK, free_port
from tests.servers.recorder import Recorder
from tests.servers.redis import RedisServer

# Other tests may have types of their own in the same registry.
TYPES = sorted(name for name, cls in Check.registry.items() if cls.__module__.startswith(checks.__name__))


@dataclass
class Targets:
    """Options for a target that is well, for one that is not, and for one that never answers, if there can be one."""

    healthy: dict[str, Any]
    broken: dict[str, Any]
    silent: dict[str, Any] | None


@dataclass
class World:
    """The servers to ask; each is started when it is first wanted."""

    request: pytest.FixtureRequest
    say: Say
    authority: Authority

    async def http(self) -> Targets:
        recorder: Recorder = self.request.getfixturevalue("recorder")
        silent = await self.say(b"", hang=True)
        return Targets(
            {"url": recorder.url},
            {"url": f"http://{LOOPBACK}:{free_port()}"},
            {"url": f"http://{LOOPBACK}:{silent}"},
        )

    async def tcp(self) -> Targets:
        port, silent = await self.say(b"+OK\r\n"), await self.say(b"", hang=True)
        return Targets(
            {"address": f"{LOOPBACK}:{port}"},
            {"address": f"{LOOPBACK}:{free_port()}"},
            {"address": f"{LOOPBACK}:{silent}", "expect": "+OK"},
        )

    async def certificate(self) -> Targets:
        port, silent = (
            await self.say(b"", tls=self.authority.issue(), hang=True),
            await self.say(b"", hang=True),
        )
        address = f"localhost:{port}"
        return Targets(
            {"address": address, "ca": self.authority.ca},
            {"address": address},
            {"address": f"{LOOPBACK}:{silent}"},
        )

    async def postgres(self) -> Targets:
        server: PostgresServer = self.request.getfixturevalue("postgres")
        silent = await self.say(b"", hang=True)
        return Targets(
            {"dsn": server.dsn()},
            {"dsn": server.dsn("not_there")},
            {"dsn": f"postgresql://{LOOPBACK}:{silent}/x"},
        )

    async def redis(self) -> Targets:
        server: RedisServer = self.request.getfixturevalue("redis")
        silent = await self.say(b"", hang=True)
        return Targets(
            {"url": server.url},
            {"url": f"redis://{LOOPBACK}:{free_port()}"},
            {"url": f"redis://{LOOPBACK}:{silent}"},
        )

    async def disk(self) -> Targets:
        roomy = {"path": "/", "warn": 100, "fail": 100, "inodes_warn": 100, "inodes_fail": 100}
        return Targets(roomy, {"path": "/no/such/path"}, None)

    async def inbox(self) -> Targets:
        path = self.request.getfixturevalue("tmp_path") / "journal.db"
        async with sqlite_journal(path.parent).opened() as store:
            await post.put(store, 1_700_000_000.0, b"{}")

        async def read(unit: Callable[[Any], Any]) -> Any:
            return glance(path, unit)

        self.request.getfixturevalue("place")._journal = read
        return Targets({"source": "shop"}, {"source": "bank"}, None)

    async def command(self) -> Targets:
        return Targets({"command": ["true"]}, {"command": ["false"]}, {"command": ["sleep", "60"]})


TARGETS: dict[str, Callable[[World], Awaitable[Targets]]] = {
    "http": World.http,
    "tcp": World.tcp,
    "certificate": World.certificate,
    "postgres": World.postgres,
    "redis": World.redis,
    "disk": World.disk,
    "command": World.command,
    "inbox": World.inbox,
}


@pytest.fixture
async def targets(request: pytest.FixtureRequest, say: Say, authority: Authority) -> Targets:
    name = request.node.callspec.params["name"]
    assert name in TARGETS, f"no target for the check type {name}. hint: add one to TARGETS"
    return await TARGETS[name](World(request, say, authority))


def make(name: str, options: dict[str, Any]) -> Check:
    check: Check = Check.registry[name].model_validate(options)
    return check


@pytest.mark.parametrize("name", TYPES)
async def test_a_healthy_target_is_ok(name: str, targets: Targets, place: LocalPlace) -> None:
    answer = await make(name, targets.healthy).probe(place)
    assert answer.verdict is Verdict.OK, answer.detail
    assert_presentable(answer.detail, answer.facts)


@pytest.mark.parametrize("name", TYPES)
async def test_a_broken_target_fails_with_a_sentence(name: str, targets: Targets, place: LocalPlace) -> None:
    answer = await make(name, targets.broken).probe(place)
    assert answer.verdict is Verdict.FAIL
    assert_presentable(answer.detail, answer.facts)
    assert answer.facts["cause"]


def assert_presentable(detail: str, facts: dict[str, Any]) -> None:
    assert detail
    assert "\n" not in detail
    assert not re.search(r"Traceback|Error\(|Errno|<\w+ object", detail), detail
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("name", TYPES)
async def test_silence_ends_in_time(name: str, targets: Targets, place: LocalPlace) -> None:
    if targets.silent is None:
        pytest.skip("what is asked is always there")
    check = make(name, {**targets.silent, "timeout": 0.3})
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await check.probe(place)
    assert answer.verdict is Verdict.FAIL
    assert "300ms" in answer.detail
    assert loop.time() - began < 5


@pytest.mark.parametrize("name", TYPES)
async def test_being_cancelled_leaves_nothing_behind(name: str, targets: Targets, place: LocalPlace) -> None:
    check = make(name, {**(targets.silent or targets.healthy), "timeout": 30})
    asking = asyncio.ensure_future(check.probe(place))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert [task for task in others if "probe" in repr(task)] == []


@pytest.mark.parametrize("name", TYPES)
async def test_the_watch_confirms_what_is_broken(name: str, targets: Targets, place: LocalPlace) -> None:
    both = [
        Watched("s/good", "s", make(name, targets.healthy)),
        Watched("s/bad", "s", make(name, targets.broken)),
    ]
    good, bad = await Watch(SystemClock(), place, both).once()
    assert (good.verdict, good.confirmed) == (Verdict.OK, True)
    assert (bad.verdict, bad.confirmed) == (Verdict.FAIL, True)
    assert good.latency is not None


@pytest.mark.parametrize("name", TYPES)
async def test_what_is_shown_of_it_holds_no_password(name: str, targets: Targets) -> None:
    cls = Check.registry[name]
    secrets = {key for key, field in cls.model_fields.items() if field.annotation is SecretUrl}
    options = dict(targets.healthy)
    for key in secrets:
        options[key] = SecretUrl(f"{name}_{key}", re.sub(r"//([^@/]*@)?", "//user:hunter-two@", options[key]))
    check = cls.model_validate(options)
    assert check.target()
    assert "hunter-two" not in f"{check.target()} {check.host()} {check!r} {check.model_dump_json()}"


@pytest.mark.parametrize("name", TYPES)
def test_every_option_is_documented(name: str) -> None:
    cls = Check.registry[name]
    assert cls.__doc__
    undocumented = [key for key, field in cls.model_fields.items() if key != "name" and not said(field)]
    assert undocumented == []


def said(field: FieldInfo) -> str:
    return field.description or ""


@pytest.mark.parametrize("name", TYPES)
def test_its_json_schema_can_be_written(name: str) -> None:
    cls = Check.registry[name]
    schema = TypeAdapter(cls).json_schema()
    assert set(schema["properties"]) == {field.alias or key for key, field in cls.model_fields.items()}
    assert cls.shorthand in cls.model_fields
