"""The inbox on the dashboard, in the API and in the metrics: what came, where it stands, how it is brought again."""

from __future__ import annotations

import base64
import json

import pytest

from mainstay.store import inbox_delivery, views
from mainstay.web.bodies import COMPARED, MOST, Shown, difference, shown
from tests.web.addresses import addresses
from tests.web.booted import Booted, Client
from tests.web.markup import Markup
from tests.web.test_metrics import read

JSON = "application/json"


async def test_the_list_says_how_each_source_and_each_event_stands(client: Client) -> None:
    text = Markup((await client.get("/inbox")).text).text
    for words in (
        "Takes nothing",
        "5 , the oldest since",
        "503 the ledger is being upgraded",
        "1 dead letter",
        "All delivered",
        "deploy-from-hook",
        "webhook_shop",
        "payment.failed",
    ):
        assert words.replace(" ", "") in text.replace(" ", ""), words


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("state=dead", 2),
        ("state=dead&source=bank", 1),
        ("q=INV-2336", 1),
        ("q=%3Cnothing%3E", 0),
        ("type=push", 5),
        ("state=nonsense&source=nobody", 0),
        ("q=%00", 0),
    ],
)
async def test_it_can_be_searched(client: Client, query: str, rows: int) -> None:
    page = await client.get(f"/inbox?{query}")
    assert page.status == 200
    assert Markup(page.text).count("tr") == (rows + 1 if rows else 0)
    found = json.loads((await client.get(f"/api/v1/inbox?{query}")).text)
    assert len(found["events"]) == rows


async def test_pages_follow_one_another(client: Client) -> None:
    first = json.loads((await client.get("/api/v1/inbox?limit=30")).text)["events"]
    second = json.loads((await client.get(f"/api/v1/inbox?limit=30&before={first[-1]['id']}")).text)["events"]
    assert (len(first), len(second)) == (30, 16)
    assert len({one["id"] for one in first + second}) == 46


async def test_an_event_shows_what_came_and_what_became_of_it(site: Booted, client: Client) -> None:
    path = (await addresses(site))["event-dead"]
    page = await client.get(path)
    text = Markup(page.text).text
    for words in (
        "Dead letter",
        "422 no such order",
        "4 attempts",
        "webhook_shop",
        "evt_0025",
        "Compared with",
    ):
        assert words in text, words
    assert "&#34;fee&#34;: 1e1" in page.text
    assert "&#34;amount&#34;: 2125.00" in page.text
    found = json.loads((await client.get(f"/api/v1{path}")).text)
    assert (found["state"], found["attempts"], len(found["tries"])) == ("dead", 4, 4)
    event = await site.store.read(lambda tx: inbox_delivery.get(tx, path.rpartition("/")[2]))
    assert event is not None
    assert base64.b64decode(found["body"]) == event.body
    raw = await client.get(f"{path}/body")
    assert raw.text.encode() == event.body
    assert raw.headers["Content-Type"] == "application/octet-stream"
    assert raw.headers["Content-Disposition"].startswith("attachment")


async def test_what_is_not_there_is_said_to_be_missing(client: Client) -> None:
    for path in ("/inbox/none", "/inbox/none/body", "/api/v1/inbox/none"):
        assert (await client.get(path)).status == 404
    csrf = (await client.get("/inbox")).csrf
    assert (await client.post("/inbox/none/replay", {"csrf": csrf})).status == 404


async def test_a_dead_letter_is_brought_again_under_its_own_id(site: Booted, client: Client) -> None:
    path = (await addresses(site))["event-dead"]
    page = await client.submit(path, f"{path}/replay")
    assert page.url == site.url + path
    assert "Waits" in Markup(page.text).text
    event = await site.store.read(lambda tx: inbox_delivery.get(tx, path.rpartition("/")[2]))
    assert event is not None
    assert (event.state, event.attempts) == ("queued", 0)
    audit = await site.store.read(views.audit)
    assert [(row["who"], row["target"]) for row in audit if row["action"] == "inbox.replay"] == [
        ("admin", event.id)
    ]


async def test_a_delivered_one_is_repeated_under_a_new_id(site: Booted, client: Client) -> None:
    (line,) = await site.store.read(lambda tx: inbox_delivery.find(tx, part=b"INV-2335"))
    page = await client.submit(f"/inbox/{line.id}", f"/inbox/{line.id}/replay")
    made = page.url.rpartition("/")[2]
    assert made != line.id
    assert f"A repetition of {line.id}" in Markup(page.text).text
    assert f"Repeated as {made}: waits" in Markup((await client.get(f"/inbox/{line.id}")).text).text


async def test_nothing_is_replayed_without_the_token_against_forged_forms(
    site: Booted, client: Client
) -> None:
    path = (await addresses(site))["event-dead"]
    assert (await client.post(f"{path}/replay", {})).status == 403
    assert (await client.post("/inbox/replay", {"all": "1"})).status == 403
    assert len(await site.store.read(lambda tx: inbox_delivery.find(tx, state="dead"))) == 2


async def test_those_chosen_and_all_that_match_are_replayed(site: Booted, client: Client) -> None:
    dead = await site.store.read(lambda tx: inbox_delivery.find(tx, state="dead"))
    one = await client.submit("/inbox", "/inbox/replay", **{f"event.{dead[0].id}": "on"})
    assert "1 event is brought again." in Markup(one.text).text
    none = await client.submit("/inbox", "/inbox/replay")
    assert "Nothing was chosen" in Markup(none.text).text
    rest = await client.submit("/inbox?state=dead", "/inbox/replay", state="dead", all="1")
    assert rest.url.endswith("/inbox?state=dead&replayed=1")
    assert await site.store.read(lambda tx: inbox_delivery.find(tx, state="dead")) == []


async def test_scripts_replay_too(site: Booted, client: Client) -> None:
    csrf = (await client.get("/inbox")).csrf
    everything = await client.post("/api/v1/inbox/replay", {"csrf": csrf})
    assert (everything.status, json.loads(everything.text)["error"]) == (400, "this would replay everything")
    done = await client.post("/api/v1/inbox/replay?source=shop&state=dead", {"csrf": csrf})
    assert done.status == 202
    assert len(json.loads(done.text)["replayed"]) == 1
    (line,) = await site.store.read(lambda tx: inbox_delivery.find(tx, part=b"INV-2335"))
    again = await client.post(f"/api/v1/inbox/{line.id}/replay", {"csrf": csrf})
    assert again.status == 202
    assert (await client.post("/api/v1/inbox/none/replay", {"csrf": csrf})).status == 404


async def test_sources_and_metrics_agree(site: Booted, client: Client) -> None:
    sources = {
        one["name"]: one for one in json.loads((await client.get("/api/v1/inbox/sources")).text)["sources"]
    }
    bank = sources["bank"]
    assert (bank["waiting"], bank["dead"], bank["target_state"]) == (5, 1, "open")
    found = read((await client.get("/metrics")).text)
    label = (("source", "bank"),)
    assert found["mainstay_inbox_waiting", label] == 5
    assert found["mainstay_inbox_dead", label] == 1
    assert found["mainstay_inbox_target_up", label] == 0
    assert found["mainstay_inbox_target_up", (("source", "shop"),)] == 1
    assert found["mainstay_inbox_delivered", label] == bank["delivered"] > 10
    assert found["mainstay_inbox_oldest_age_seconds", label] == pytest.approx(450.0)
    assert found["mainstay_inbox_oldest_age_seconds", (("source", "shop"),)] == 0


# --- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "form", "lines"),
    [
        (b"", JSON, "empty", ()),
        (b'{"a":10.0,"b":[1e2,{}],"a":[]}', JSON, "JSON",
         ("{", '  "a": 10.0,', '  "b": [', "    1e2,", "    {}", "  ],", '  "a": []', "}")),
        (b"9007199254740993", JSON, "JSON", ("9007199254740993",)),
        (b'"caf\\u00e9"', JSON, "JSON", ('"café"',)),
        (b"[NaN, true, null]", JSON, "JSON", ("[", "  NaN,", "  true,", "  null", "]")),
        (b"a=1&b=%C3%A9&c=", "application/x-www-form-urlencoded; charset=utf-8", "form", ("a = 1", "b = é", "c = ")),
        (b"one\ntwo\n", "text/plain", "text", ("one", "two")),
        (b"\x00\xff\x10A", "", "binary", ("000000  00 ff 10 41" + " " * 38 + "...A",)),
        (b"[" * 5000, JSON, "text", ("[" * 5000,)),
    ],
)  # fmt: skip
def test_a_body_is_shown_as_it_came(body: bytes, kind: str, form: str, lines: tuple[str, ...]) -> None:
    assert shown(body, kind) == Shown(form, lines)


def test_of_a_large_body_the_beginning_is_shown() -> None:
    found = shown(b"x" * (MOST + 1), "text/plain")
    assert (found.cut, len(found.text)) == (True, MOST)
    assert shown("é".encode() * MOST, "text/plain").form == "text"


def test_what_changed_is_told_line_by_line() -> None:
    before, after = shown(b'{"a": 1, "b": 2}', JSON), shown(b'{"a": 1, "b": 3}', JSON)
    assert difference(before, after) == [
        (" ", "{"), (" ", '  "a": 1,'), ("-", '  "b": 2'), ("+", '  "b": 3'), (" ", "}")
    ]  # fmt: skip
    assert difference(before, before) == []


def test_a_body_that_goes_deep_fills_no_memory() -> None:
    """64 KiB of brackets and numbers would be fifty megabytes of blanks."""
    found = shown(b"[" * 800 + b"1," * 30_000 + b"1" + b"]" * 800, "application/json")
    assert found.form == "JSON"
    assert len(found.text) < 4 * MOST
    assert shown(b"[" * 70 + b'{"a": 1e2, "a": [10.0]}' + b"]" * 70, "").lines[64].strip() == (
        "[" * 6 + '{"a": 1e2, "a": [10.0]}' + "]" * 6
    )


def test_long_bodies_are_compared_as_far_as_is_quick() -> None:
    one = Shown("text", tuple(map(str, range(COMPARED + 5))))
    other = Shown("text", (*one.lines[:-1], "another"))
    assert difference(one, one) == []
    assert difference(one, other) == [("@", "")]


async def test_what_nobody_takes_is_called_kept_and_cannot_be_brought(site: Booted, client: Client) -> None:
    page = await client.get("/inbox?state=kept")
    text = Markup(page.text).text
    assert "5 kept" in text
    assert "each for 30 d" in text
    assert 'name="event.' not in page.text
    assert "Replay" not in text
    path = (await addresses(site))["event-kept"]
    kept = Markup((await client.get(path)).text).text
    assert "its source has no target. It is forgotten in 29 d." in kept
    assert "Bring it now" not in kept
    token = await client.get("/inbox")
    said = await client.post(f"{path}/replay", {"csrf": token.csrf})
    assert (said.status, "nobody takes it" in said.text) == (404, True)
    (source,) = [
        one
        for one in json.loads((await client.get("/api/v1/inbox/sources")).text)["sources"]
        if one["name"] == "partner"
    ]
    assert (source["kept"], source["waiting"], source["oldest_at"]) == (5, 0, None)
    found = read((await client.get("/metrics")).text)
    assert found["mainstay_inbox_kept", (("source", "partner"),)] == 5
    assert found["mainstay_inbox_waiting", (("source", "partner"),)] == 0
