"""The verdict guard: whose fault it is, what a stall does, and when our own network is to blame."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.checks import HttpCheck, TcpCheck
from mainstay.core.check import Answer, Check, ResolveError, Result, Verdict
from mainstay.core.errors import MainstayError
from mainstay.core.secret import Secret
from mainstay.engine.asker import ATTEMPTS
from mainstay.engine.guard import QUORUM, UNREACHED, Horizon, Pulse, agree, answer_to
from mainstay.engine.watch import Watch, Watched
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.resolver import Resolver
from tests.engine.watched import Behaviour, here, scripted, watched
from tests.servers.dns import NameServer, client
from tests.servers.nginx import NginxServer
from tests.servers.process import free_port

OK, WARN, FAIL, UNKNOWN = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN
SILENCE = Answer.fail("timed out after 5s", cause=UNREACHED)


async def asked(clock: FakeClock, *checks: Watched) -> list[Result]:
    """The final results of one round."""
    asking = asyncio.ensure_future(Watch(clock, here(clock), checks).once())
    while not asking.done():
        await clock.advance(1)
    return await asking


async def one(clock: FakeClock, *words: Behaviour) -> Result:
    [result] = await asked(clock, watched("s/x", scripted(*words)))
    return result


@pytest.mark.parametrize(
    ("fault", "verdict", "said"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), FAIL, "connection refused by a script"),
        (ConnectionResetError(errno.ECONNRESET, "x"), FAIL, "a script reset the connection"),
        (ConnectionResetError("no number"), FAIL, "a script broke the connection off"),
        (BrokenPipeError(errno.EPIPE, "x"), FAIL, "a script closed the connection"),
        (OSError(errno.EHOSTUNREACH, "x"), FAIL, "no such machine answers in its network"),
        (FileNotFoundError(errno.ENOENT, "x"), FAIL, "there is no a script"),
        (OSError(errno.EINVAL, "Invalid argument"), FAIL, "a script: Invalid argument"),
        (ResolveError("there is no host named x", definite=True), FAIL, "there is no host named x"),
        (ResolveError("no answer", definite=False), UNKNOWN, "no answer"),
        (OSError(errno.ENETUNREACH, "x"), UNKNOWN, "no route leads there from this machine"),
        (OSError(errno.ENETDOWN, "x"), UNKNOWN, "the network of this machine is down"),
        (OSError(errno.EADDRNOTAVAIL, "x"), UNKNOWN, "no address or port left"),
        (OSError(errno.EMFILE, "x"), UNKNOWN, "mainstay has no file descriptor left"),
        (PermissionError(errno.EACCES, "x"), UNKNOWN, "does not permit it"),
        (ssl.SSLError(1, "[SSL] bad"), FAIL, "a script: "),
        (MainstayError("no such file", hint="make one"), UNKNOWN, "no such file (hint: make one)"),
        (ZeroDivisionError("division by zero"), UNKNOWN, "the check itself broke: ZeroDivisionError"),
        (LookupError("secret 'x' was not resolved"), UNKNOWN, "secret 'x' was not resolved"),
    ],
)
async def test_whose_fault_it_is(clock: FakeClock, fault: Exception, verdict: Verdict, said: str) -> None:
    result = await one(clock, fault)
    assert result.verdict is verdict
    assert said in result.detail
    assert result.confirmed


async def test_a_probe_that_never_ends_is_ended() -> None:
    forever = asyncio.Event()
    check = scripted(forever.wait, timeout=0.05)
    [result] = await Watch(SystemClock(), here(SystemClock()), [watched("s/x", check)]).once()
    assert (result.verdict, result.detail) == (FAIL, "timed out after 50ms")


async def test_details_are_short_and_without_secrets(clock: FakeClock) -> None:
    Secret("pw", "correct-horse")
    result = await one(clock, Answer.fail("password correct-horse refused " + "x" * 2000))
    assert "correct-horse" not in result.detail
    assert result.detail.startswith("password ******** refused xxx")
    assert len(result.detail) == 500


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(Verdict), min_size=1, max_size=40))
def test_a_confirmed_fault_was_seen_twice(words: list[Verdict]) -> None:
    """Whatever a service says: what is handed on is what was seen, and no red light without having seen it before."""

    async def run() -> None:
        clock, seen = FakeClock(), list[Result]()
        script = [*words, OK]
        asker = Watch(clock, here(clock), [watched("s/x", scripted(*script))])._asker
        previous = None
        while sum(1 for _ in seen) < len(script):
            asking = asyncio.ensure_future(
                asker.ask(watched("s/x", scripted(*script[len(seen) :])), previous, seen.append)
            )
            await clock.advance(30)
            previous = (await asking).verdict
        assert [result.verdict for result in seen][: len(script)] == script
        for number, result in enumerate(seen):
            before = [earlier.verdict for earlier in seen[max(0, number - ATTEMPTS) : number]]
            if result.confirmed and result.verdict is not OK:
                assert any(agree(earlier, result.verdict) for earlier in before)
            if result.verdict is FAIL and before[-1:] == [FAIL]:
                assert result.confirmed

    asyncio.run(run())


# Stalls. A real process that is really stopped is in test_watch_process.py.


class Machine(SystemClock):
    """The machine's clocks, which a test may move on as a pause of the machine does."""

    def __init__(self) -> None:
        self.paused = self.suspended = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.paused

    def now(self) -> float:
        return super().now() + self.paused + self.suspended


@pytest.mark.parametrize("what", ["paused", "suspended"])
async def test_a_verdict_from_a_stall_is_discarded_and_asked_for_again(what: str) -> None:
    machine, looks = Machine(), list[str]()

    async def stalled_once() -> Answer:
        looks.append("look")
        if len(looks) == 1:
            setattr(machine, what, 8.0)
            return Answer.fail("timed out after 5s")
        return Answer.ok("fine")

    [result] = await Watch(machine, here(machine), [watched("s/x", scripted(stalled_once))]).once()
    assert (result.verdict, len(looks)) == (OK, 2)


async def test_good_news_from_a_stall_count_but_not_their_latency() -> None:
    machine = Machine()

    async def stalled() -> Answer:
        machine.paused += 8.0
        return Answer.ok("fine")

    [result] = await Watch(machine, here(machine), [watched("s/x", scripted(stalled))]).once()
    assert (result.verdict, result.latency) == (OK, None)


async def test_a_machine_that_stalls_all_the_time_knows_nothing() -> None:
    machine = Machine()

    async def stalled() -> Answer:
        machine.paused += 8.0
        return Answer.fail("timed out after 5s")

    [result] = await Watch(machine, here(machine), [watched("s/x", scripted(stalled))]).once()
    assert result.verdict is UNKNOWN
    assert result.detail == "could not judge: mainstay itself stood still for 8s"


async def test_a_stall_between_probes_is_no_stall_of_theirs() -> None:
    machine = Machine()
    pulse = Pulse(machine)
    with pulse.listen() as span:
        pass
    machine.paused += 60.0
    with pulse.listen() as later:
        await asyncio.sleep(0)
    assert (span.lost, later.lost) == (0.0, 0.0)


async def test_a_stall_is_everyone_s_who_was_asking() -> None:
    machine = Machine()
    pulse = Pulse(machine)
    with pulse.listen() as outer:
        with pulse.listen() as inner:
            machine.paused += 3.0
        with pulse.listen() as after:
            pass
    assert inner.lost == pytest.approx(3.0, abs=0.1)
    assert outer.lost == pytest.approx(3.0, abs=0.1)
    assert after.lost == 0.0


async def test_setting_the_clock_back_is_no_stall(clock: FakeClock) -> None:
    with Pulse(clock).listen() as span:
        clock.step(-86_400)
    assert span.lost == 0.0


# Our own network.


async def test_when_no_host_answers_the_network_is_ours(clock: FakeClock) -> None:
    checks = [watched(f"s/{n}", scripted(SILENCE, where=f"{n}.example.com")) for n in range(QUORUM)]
    results = await asked(clock, *checks)
    assert {result.verdict for result in results} == {UNKNOWN}
    assert "this machine's own network seems to be lost (timed out after 5s)" in results[0].detail


async def test_one_host_that_answers_makes_the_others_silence_a_fact(clock: FakeClock) -> None:
    silent = [watched(f"s/{n}", scripted(SILENCE, where=f"{n}.example.com")) for n in range(20)]
    refusing = Answer.fail("connection refused", cause="refused")
    results = await asked(clock, *silent, watched("s/alive", scripted(refusing, where="alive.example.com")))
    assert {result.verdict for result in results} == {FAIL}


async def test_a_few_silent_hosts_are_a_fact(clock: FakeClock) -> None:
    checks = [watched(f"s/{n}", scripted(SILENCE, where=f"{n}.example.com")) for n in range(QUORUM - 1)]
    assert {result.verdict for result in await asked(clock, *checks)} == {FAIL}


@pytest.mark.parametrize("where", [None, "localhost", "127.0.0.1", "one.example.com"])
async def test_many_checks_of_one_host_or_of_this_machine_prove_nothing(
    clock: FakeClock, where: str | None
) -> None:
    checks = [watched(f"s/{n}", scripted(SILENCE, where=where)) for n in range(20)]
    assert {result.verdict for result in await asked(clock, *checks)} == {FAIL}


@pytest.mark.parametrize(("alive", "verdict"), [(True, FAIL), (False, UNKNOWN)])
async def test_witnesses_are_asked_before_the_network_is_blamed(
    clock: FakeClock, alive: bool, verdict: Verdict
) -> None:
    """Hosts that die together are a fact as soon as one that answered before still answers."""
    dying = [watched(f"s/{n}", scripted(OK, SILENCE, where=f"{n}.example.com")) for n in range(QUORUM)]
    witness = watched("w/x", scripted(OK, OK if alive else SILENCE, where="witness.example.com"))
    watch = Watch(clock, here(clock), [*dying, witness])
    assert {result.verdict for result in await watch.once()} == {OK}
    asking = asyncio.ensure_future(watch.once(only={check.id for check in dying}))
    await clock.advance(60)
    assert {result.verdict for result in await asking} == {verdict}


def test_name_trouble_is_evidence_of_nothing() -> None:
    horizon = Horizon()
    for number in range(QUORUM):
        horizon.note(f"{number}.example.com", SILENCE)
    horizon.note("x.example.com", Answer.unknown("no answer", cause="name"))
    assert horizon.suspect
    horizon.note("x.example.com", Answer.ok("200"))
    assert not horizon.suspect


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Every file descriptor of this process is taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with suppress(OSError):
            while True:
                stack.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        yield


async def test_without_file_descriptors_nothing_is_known() -> None:
    clock = SystemClock()
    checks: list[Check] = [TcpCheck(address=f"127.0.0.1:{number + 1}") for number in range(3)]
    watch = Watch(clock, here(clock), [watched(f"s/{n}", check) for n, check in enumerate(checks)])
    with no_descriptors():
        results = await watch.once()
    assert [result.verdict for result in results] == [UNKNOWN] * 3
    assert "mainstay has no file descriptor left" in results[0].detail


@pytest.mark.slow
async def test_hanging_names_fail_no_healthy_host() -> None:
    """20 names that are never answered beside 80 healthy hosts, asked again and again."""
    names = NameServer()
    clock = SystemClock()
    place = LocalPlace(clock, Resolver(clock, client(names.address)))
    server = NginxServer('server { listen 127.0.0.1:{port}; location / { return 200 "ok"; } }')
    try:
        url = f"http://{{}}.test:{server.port}/"
        healthy = [HttpCheck(url=url.format(f"{n}.healthy"), timeout=5) for n in range(80)]
        hanging = [HttpCheck(url=url.format(f"{n}.hanging"), timeout=5) for n in range(20)]
        denied = HttpCheck(url=url.format("nobody"), timeout=5)
        checks = {f"h/{n}": check for n, check in enumerate([*hanging, *healthy, denied])}
        watch = Watch(clock, place, [watched(name, check) for name, check in checks.items()])
        for _ in range(2):
            results = await watch.once()
            assert [result.verdict for result in results[:20]] == [UNKNOWN] * 20
            assert {(result.verdict, result.detail[:4]) for result in results[20:100]} == {(OK, "200 ")}
            assert max(result.latency or 0.0 for result in results[20:100]) < 2.4
            assert results[100].verdict is FAIL
    finally:
        server.stop()
        names.stop()


async def test_a_refused_connection_is_confirmed_on_a_fresh_one() -> None:
    clock = SystemClock()
    [result] = await Watch(
        clock, here(clock), [watched("s/x", TcpCheck(address=f"127.0.0.1:{free_port()}"))]
    ).once()
    assert (result.verdict, result.confirmed) == (FAIL, True)


def test_faults_name_the_place() -> None:
    assert (
        answer_to(ConnectionRefusedError(errno.ECONNREFUSED, ""), "db:5432").detail
        == "connection refused by db:5432"
    )
