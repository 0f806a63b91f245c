"""`mainstay inbox`: what came in, where it stands, and having it brought again."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

import pytest

from mainstay.store import inbox, inbox_delivery, views
from mainstay.store.base import Tx
from mainstay.store.inbox import DEAD, DELIVERED, KEPT, QUEUED, Arrival
from mainstay.store.inbox_delivery import Ending
from tests.cli.conftest import Cli, Company
from tests.edge.delivery.post import arrival
from tests.edge.delivery.senders import TOKEN, senders

BODY = b'{"n": %d, "caf\\u00e9": 1e2}\n'
WEBHOOKS = """
webhooks:
  bank:
    secrets: [{secret: hook}]
    deliver_to: http://127.0.0.1:9/hook
  partner:
    secrets: [{secret: hook}]
  github:
    scheme: github
    secrets: [{secret: hook}]
    repair: {github: {hook: repos/acme/shop/hooks/7, token: {secret: github_token}, api: API}}
"""


def seeded(now: float) -> Callable[[Tx], list[str]]:
    """Three payments: delivered, dead, and one that waits."""

    def unit(tx: Tx) -> list[str]:
        made = [
            arrival(
                now - 300 + n,
                b'{"n": %d, "caf\\u00e9": 1e2}\n' % n,
                event_type="payment.made",
                event_id=f"evt_{n}",
            )
            for n in range(3)
        ]
        inbox.put_many(tx, made)
        ids = [one.id for one in made]
        inbox_delivery.settle(tx, [Ending(ids[0], "bank", 1, DELIVERED, now - 290, 0.02, 200, "200 ok")])
        inbox_delivery.settle(tx, [Ending(ids[1], "bank", 1, DEAD, now - 290, 0.02, 410, "410 gone")])
        later = now + 3600
        inbox_delivery.settle(
            tx, [Ending(ids[2], "bank", 1, QUEUED, now - 290, None, None, "no answer", later)]
        )
        return ids

    return unit


@pytest.fixture
def ids(company: Company, now: float) -> list[str]:
    file = company.home / "mainstay.yaml"
    file.write_text(file.read_text() + WEBHOOKS.replace("API", "http://127.0.0.1:9"))
    found: list[str] = company.change(seeded(now))
    return found


def test_the_newest_come_first(ids: list[str], cli: Cli) -> None:
    said = cli("inbox")
    lines = said.out.splitlines()
    assert [next(i for i in (2, 1, 0) if ids[i][-8:] in line) for line in lines[1:]] == [2, 1, 0]
    assert "no answer; next in" in lines[1]
    assert "dead letter" in lines[2]
    assert "410 gone" in lines[2]
    assert [one["id"] for one in cli("inbox", "list", "--json").data["events"]] == ids[::-1]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--state", "dead"], [1]),
        (["--source", "partner"], []),
        (["--type", "payment.made", "--limit", "1"], [2]),
        (["--text", '"n": 0'], [0]),
        (["--since", "1m"], []),
        (["--since", "2020-01-01"], [2, 1, 0]),
    ],
)
def test_it_can_be_searched(ids: list[str], cli: Cli, filters: list[str], found: list[int]) -> None:
    said = cli("inbox", "list", *filters, "--json")
    assert [one["id"] for one in said.data["events"]] == [ids[n] for n in found]


def test_a_state_may_be_called_as_the_list_calls_it(ids: list[str], cli: Cli) -> None:
    for word, found in (("waits", ids[2]), ("dead letter", ids[1])):
        assert [one["id"] for one in cli("inbox", "--json", "list", "--state", word).data["events"]] == [
            found
        ]


def test_a_list_that_is_cut_says_so(ids: list[str], cli: Cli) -> None:
    said = cli("inbox", "list", "--limit", "2")
    assert (len(said.out.splitlines()), said.err) == (3, "only the newest 2; --limit N gives more\n")
    assert cli("inbox", "list", "--limit", "3").err == ""
    assert "'0' is not a number from 1 on" in cli("inbox", "list", "--limit", "0").err


def test_a_source_that_is_misspelt_is_not_taken_for_an_empty_one(
    company: Company, ids: list[str], cli: Cli
) -> None:
    for action in ("list", "replay"):
        said = cli("inbox", action, "--source", "bnak")
        assert (said.code, "no source of webhooks bnak (hint: did you mean bank?)" in said.err) == (2, True)
    assert cli("inbox", "list", "--source", "github").out == "no event\n"


def test_a_moment_that_is_none_is_a_fault_of_usage(ids: list[str], cli: Cli) -> None:
    said = cli("inbox", "list", "--since", "yesterday")
    assert said.code == 2
    assert "'yesterday' is no moment" in said.err


def test_an_event_is_shown_as_it_came(ids: list[str], cli: Cli) -> None:
    out = cli("inbox", "show", ids[1][-8:]).out
    for words in (
        "payment.made",
        "dead letter",
        "410 gone",
        "evt_1",
        "content-type: application/json",
        "1e2",
    ):
        assert words in out
    body = '{"n": 1, "caf\\u00e9": 1e2}\n'
    assert cli("inbox", "show", ids[1], "--body").out == body
    found = cli("inbox", "show", ids[1], "--json").data
    assert base64.b64decode(found["body"]).decode() == body
    assert [one["status"] for one in found["tries"]] == [410]
    said = cli("inbox", "show", "zzzz")
    assert (said.code, "there is no event zzzz" in said.err) == (1, True)


def test_what_strangers_sent_moves_nobody_s_cursor(company: Company, now: float, cli: Cli) -> None:
    """A terminal obeys escape sequences: they rename its window, hide lines, or fill in the next command."""
    body, value = b"\x1b]0;owned\x07\x9b2J\r\tone\ntwo", "a\x9b31mb"
    headers = json.dumps([["x-odd", value]])
    (one,) = company.change(lambda tx: _put(tx, arrival(now, body, headers=headers)))
    out = cli("inbox", "show", one).out
    assert not {char for char in out if ord(char) < 32 or 127 <= ord(char) < 160} - {"\n", "\t"}
    assert r"\x1b]0;owned\x07" in out
    assert r"a\x9b31mb" in out
    assert cli("inbox", "show", one, "--json").data["headers"] == [["x-odd", value]]


def _put(tx: Tx, one: Arrival) -> list[str]:
    inbox.put_many(tx, [one])
    return [one.id]


def test_dead_letters_are_brought_again(company: Company, ids: list[str], cli: Cli) -> None:
    dry = cli("inbox", "replay", "--state", "dead", "--dry-run", "--json")
    assert dry.data == {"would_replay": [ids[1]]}
    assert cli("inbox", "list", "--state", "dead", "--json").data["events"] != []
    done = cli("inbox", "replay", "--source", "bank", "--state", "dead", "--json")
    assert done.data == {"replayed": [{"of": ids[1], "id": ids[1]}]}
    assert cli("inbox", "list", "--state", "dead").out == "no event\n"
    assert cli("inbox", "replay", "--state", "dead").code == 1
    (note,) = company.change(views.audit)
    assert (note["action"], note["target"]) == ("inbox.replay", ids[1])


def test_what_was_delivered_is_repeated_under_a_new_id(ids: list[str], cli: Cli) -> None:
    (done,) = cli("inbox", "replay", ids[0][-8:], "--json").data["replayed"]
    assert done["of"] == ids[0]
    assert done["id"] != ids[0]
    assert cli("inbox", "replay", ids[0]).out == "1 event brought again\n"


def test_a_search_does_not_bring_one_event_several_times(ids: list[str], company: Company, cli: Cli) -> None:
    again = cli("inbox", "replay", ids[0], "--json").data["replayed"][0]["id"]
    dry = cli("inbox", "replay", "--text", '"n": 0', "--dry-run")
    assert (dry.out, dry.err) == (f"would bring {again} again\n", "1 event; nothing was changed\n")
    ending = Ending(again, "bank", 1, DELIVERED, 1e9, 0.02, 200, "200 ok")
    company.change(lambda tx: inbox_delivery.settle(tx, [ending]))
    dry = cli("inbox", "replay", "--text", '"n": 0', "--dry-run", "--json")
    assert dry.data == {"would_replay": [ids[0]]}


def test_what_nobody_takes_is_kept_and_not_brought(
    company: Company, ids: list[str], now: float, cli: Cli
) -> None:
    (kept,) = company.change(lambda tx: _put(tx, arrival(now, b"{}", source="partner", state=KEPT)))
    (line,) = cli("inbox", "list", "--state", "kept", "--json").data["events"]
    assert (line["id"], line["state"]) == (kept, "kept")
    assert "kept, " + kept in cli("inbox", "show", kept).out
    said = cli("inbox", "replay", kept)
    assert (said.code, "nobody takes the events of partner (hint: say who does" in said.err) == (1, True)
    said = cli("inbox", "replay", "--since", "1d")
    assert (said.code, "nobody takes the events of partner" in said.err) == (0, True)
    assert "brought again" in said.out
    webhooks = {row["source"]: row for row in cli("status", "--json").data["webhooks"]}
    assert (webhooks["partner"]["kept"], webhooks["partner"]["waiting"]) == (1, 0)
    assert "1 kept" in cli("status").out


@pytest.mark.parametrize("arguments", [[], ["abc", "--state", "dead"]])
def test_a_replay_says_which_events(ids: list[str], cli: Cli, arguments: list[str]) -> None:
    said = cli("inbox", "replay", *arguments)
    assert (said.code, "say which events" in said.err) == (2, True)


@pytest.mark.parametrize("json_lines", [True, False])
def test_what_comes_in_is_told_as_it_comes(company: Company, ids: list[str], *, json_lines: bool) -> None:
    import subprocess

    from tests.helpers import bare_environment, command

    env = bare_environment(HOME=str(company.home))
    with subprocess.Popen(
        command("inbox", "tail", "--count", "1", *["--json"][: int(json_lines)]),
        cwd=company.home,
        env=env,
        stdout=subprocess.PIPE,
    ) as tail:
        assert tail.stdout is not None

        def come(tx: Tx) -> None:
            from mainstay.ports.clock import SystemClock

            at = SystemClock().now()
            inbox.put_many(tx, [arrival(at, b"new", event_type="came.just.now")])

        line = b""
        while tail.poll() is None and not line:  # it may not have begun to look
            company.change(come)
            try:
                line = tail.communicate(timeout=0.5)[0]
            except subprocess.TimeoutExpired:
                continue
    if json_lines:
        assert json.loads(line)["event_type"] == "came.just.now"
        return
    _, short, source, kind, *_ = line.decode().split()
    (event,) = company.change(lambda tx: inbox_delivery.like(tx, short))  # what is told can be shown
    assert (source, kind, str(event["id"]).endswith(short)) == ("bank", "came.just.now", True)


def test_what_was_missed_is_fetched(
    company: Company, cli: Cli, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    monkeypatch.setenv("MAINSTAY_HOOK", "shared-with-the-sender")
    monkeypatch.setenv("MAINSTAY_GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("MAINSTAY_ERP_DSN", "postgresql://nobody@127.0.0.1:9/none")

    async def scene() -> None:
        async with senders() as sender:
            sender.pushed(1, now - 600)
            file = company.home / "mainstay.yaml"
            file.write_text(file.read_text() + WEBHOOKS.replace("API", sender.url))
            dry = await asyncio.to_thread(cli, "inbox", "repair", "github", "--since", "1h", "--dry-run")
            assert (dry.code, "1 event sent, 1 missing, nothing was changed" in dry.out) == (1, True)
            done = await asyncio.to_thread(cli, "inbox", "repair", "github", "--since", "1h", "--json")
            assert (done.code, done.data["missing"][0]["id"], len(done.data["added"])) == (0, "guid-1", 1)
            for source, words in (
                ("gitbub", "did you mean github?"),
                ("bank", "nothing says how bank is asked"),
            ):
                refused = await asyncio.to_thread(cli, "inbox", "repair", source, "--since", "1h")
                assert (refused.code, words in refused.err) == (2, True)

    asyncio.run(scene())
