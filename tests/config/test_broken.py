"""Broken files: each fault is one line that names the file, the line, what is wrong and the remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.config.load import load
from mainstay.config.problems import ConfigProblems
from mainstay.core.errors import ConfigError
from tests.helpers import bare_environment, mainstay

BROKEN = Path(__file__).parent / "broken"

# file: (line, words of the fault, words of the remedy)
EXPECTED: dict[str, tuple[int, str, str]] = {
    "address_of_the_dashboard": (3, "web.url: 'status page' is not", "https://status.example.com"),
    "address_that_is_none": (
        5,
        "checks[0].http: 'example.com/health' is not a URL",
        "https://example.com/health",
    ),
    "alias_of_itself": (2, "multiply without end", "fewer aliases"),
    "alias_of_nothing": (3, "an alias (*name) without its anchor", "define &name"),
    "aliases_that_multiply": (2, "multiply without end", "fewer aliases"),
    "at_sign": (2, "may not start with this character", "quotes"),
    "binary": (1, "is not a text file", "check the path"),
    "certificate_of_a_wildcard_by_http": (3, "*.example.com can only be proven by DNS", "dns: PROVIDER"),
    "certificate_twice": (4, "a second certificate called example.com", "another `name:`"),
    "certificate_without_credentials": (
        3,
        "nothing lets mainstay change records at cloudflare",
        "{secret: NAME}",
    ),
    "channel_of_an_unknown_type": (
        3,
        "notify.ops: no such notifier type: 'slak'; did you mean slack?",
        "known types",
    ),
    "channel_with_a_misspelt_when": (
        5,
        "notify.pagerduty.when: must be always or critical",
        "only critical ones",
    ),
    "channel_without_its_key": (3, "notify.pagerduty: routing_key is missing", "integration key"),
    "check_as_a_number": (5, "services.web.checks[0]: not a check", "known types"),
    "check_as_text_of_a_list": (4, "services.web.checks: must be a list", "[https://example.com/]"),
    "check_name_with_a_slash": (5, "front/door holds a slash", "letters, digits"),
    "check_of_an_unknown_type": (5, "no such check type: 'htpp'; did you mean http?", "known types"),
    "channel_that_is_misspelt": (
        3,
        "notify.slak: no such notifier type: 'slak'; did you mean slack?",
        "known types",
    ),
    "check_with_options_beside_it": (
        5,
        "timeout stands beside http, not among its options",
        "http: {..., timeout: ...}",
    ),
    "check_with_two_types": (5, "needs exactly one type, not 2", "{TYPE: options}"),
    "check_without_options": (5, "services.web.checks[0].http: url is missing", "https://example.com/health"),
    "checks_as_a_mapping": (4, "services.web.checks: must be a list, not a mapping", "dash"),
    "colon_in_a_text": (2, "a colon too many", "quote text"),
    "colon_missing": (3, "a colon is missing", "key: value"),
    "control_character": (2, "control character U+0007", "remove the character"),
    "covered_row_that_is_none": (4, "there is no row renew_tls; did you mean renew_ssl?", "known:"),
    "covered_without_a_word": (3, "readiness.covered.renew_ssl: needs at least 10 characters", "who or what"),
    "cron_that_is_never_due": (4, "backup.at: '0 2 31 2 *' is not a cron", "five fields"),
    "cron_with_four_fields": (7, "databases.shop.backup.at: '0 2 * *' is not a cron", "five fields"),
    "cron_with_words": (4, "'every night' is not a cron", "five fields"),
    "depends_on_as_text": (3, "services.web.depends_on: must be a list, not 'db'", "[db]"),
    "depends_on_each_other": (3, "a -> b -> c -> a", "remove one"),
    "depends_on_itself": (3, "web depends on itself", "remove it"),
    "depends_on_nobody": (3, "there is no service postgress; did you mean postgres?", "known: postgres, web"),
    "duplicate_option": (4, "timezone: stands twice, first on line 2", "keep one"),
    "duplicate_service": (5, "services.web: stands twice, first on line 3", "keep one"),
    "duration_below_zero": (5, "http.every: a duration cannot be negative", "write it like"),
    "duration_without_a_unit_we_know": (5, "'5 minutes' is not a duration", "1m30s"),
    "escape": (2, "unknown escape", "single quotes"),
    "exclude_without_a_schema": (4, "'sessions' is not a table", "schema.table"),
    "gateway_auth_by_nothing": (3, "nothing says how anybody could show who asks", "gateway.auth"),
    "edge_decide_where_clients_come": (4, "decide and gateway cannot listen on one address", "its own port"),
    "gateway_decide_path": (4, "other proxies ask at an address of its own", "edge.decide"),
    "gateway_http2_built_in": (7, "the built-in engine speaks HTTP/1.1 only", "engine: envoy"),
    "gateway_envoy_without_an_origin": (3, "the route / does not say where", "give every route an `origin`"),
    "gateway_envoy_may_not_ask": (6, "asks from 127.0.0.1", "add 127.0.0.1"),
    "gateway_envoy_on_a_free_port": (3, "Envoy cannot listen on a free port", "name a port"),
    "gateway_limit_as_a_number": (5, "10 in how long is not said", "like 10/min"),
    "webhook_target_without_a_scheme": (5, "does not say how", "http://127.0.0.1:8069/hooks"),
    "gateway_plan_that_is_not_there": (4, "there is no plan payed; did you mean paid?", "known: free, paid"),
    "gateway_rate_that_is_none": (4, "'lots' is not a rate", "100/min"),
    "gateway_route_twice": (5, "a second route for /api", "tell them apart"),
    "heal_by_prayer": (6, "services.web.heal: must be restart or", "restart"),
    "heal_what_nobody_asks": (5, "nothing would notice", "give web a check"),
    "heal_what_runs_nowhere": (5, "cannot heal what runs nowhere", "runs_on"),
    "indentation": (5, "the indentation does not fit", "same indentation"),
    "job_at_and_every": (3, "has both `at` and `every`", "keep one"),
    "job_of_an_unknown_type": (3, "jobs.nightly: no such job type: 'cleen'", "known types"),
    "journal_as_a_path": (2, "journal: not a URL", "scheme://"),
    "journal_of_another_kind": (2, "cannot be kept in 'mysql'", "postgresql://"),
    "keep_less_than_nothing": (4, "keep.daily: must be greater than or equal to 0, not -1", "newest"),
    "keep_nothing": (4, "keep at least one backup", "hint"),
    "key_of_braces": (3, "a key must be a plain word", "quote"),
    "latin_1": (2, "is not text in UTF-8", "save it as UTF-8"),
    "list_at_the_top": (1, "must be a mapping at the top, not a list", "name: x"),
    "list_in_a_line": (2, "a list item (-) in the wrong place", "lines of its own"),
    "listen_on_a_port_too_high": (3, "web.listen: '127.0.0.1:84200' is not an address", "127.0.0.1:"),
    "listen_without_a_port": (2, "web.listen: '127.0.0.1' is not an address", "127.0.0.1:"),
    "merge_of_a_text": (4, "<<: takes a mapping", "<<: *NAME"),
    "name_as_a_number": (1, "name: must be text, not 2026", '"2026"'),
    "name_missing": (1, "name is missing", "what this installation is called"),
    "name_with_a_space": (1, "'my company' is not allowed here", "letters, digits"),
    "nothing": (1, "is empty", "mainstay init"),
    "only_comments": (1, "is empty", "mainstay init"),
    "password_in_an_address": (5, "this holds a password", "{secret: NAME}"),
    "password_in_keywords": (4, "databases.shop.dsn: this holds a password", "{secret: NAME}"),
    "process_without_a_command": (4, "process.command: needs at least 1 item", "program and arguments"),
    "prove_now_and_then": (4, "backup.prove: 'sometimes' is not `each`", "each"),
    "python_tag": (1, "name: has the tag !!python/object/apply:os.system", "remove the tag"),
    "runs_on_a_command_line": (4, "services.web.runs_on: this says nothing that can be run", "{command: ["),
    "runs_on_a_misspelt_manager": (4, "services.web.runs_on: 'systmd:nginx' runs nothing", "docker:NAME"),
    "secret_in_the_file": (4, "notify.slack.url: a secret is written {secret: NAME}", "MAINSTAY_NAME_FILE"),
    "secret_that_is_missing": (3, "secret nobody_has_this is missing", "MAINSTAY_NOBODY_HAS_THIS_FILE"),
    "secret_with_a_bad_name": (3, "lower-case letters, digits and _", "hint"),
    "service_name_with_a_slash": (3, "'shop/web' is not allowed here", "letters, digits"),
    "service_without_anything": (3, "services.web: must be a mapping of options, not nothing", "hint"),
    "services_as_a_list": (2, "services: must be a mapping", "by name"),
    "state_dir_as_a_number": (2, "state_dir: must be a path, not 7", "/var/lib/mainstay"),
    "storage_not_chosen": (6, "databases.shop.backup: to is missing", "the storage"),
    "storage_of_an_unknown_type": (3, "no such storage type: 's4'", "directory, s3"),
    "job_that_comes_by_itself": (3, "jobs.weekly: no such job type: 'prove_backup'", "from databases:"),
    "password_that_tears_its_address": (
        3,
        "databases.shop.dsn: this address cannot be taken apart",
        "%2F for /",
    ),
    "share_as_a_fraction": (3, "0.9 would be less than one percent", "80%"),
    "storage_without_a_name": (
        3,
        "storage.directory: not a storage: the type stands where",
        "NAME: {directory",
    ),
    "warning_above_the_failure": (5, "warn is 95%, above fail at 90%", "raise fail too"),
    "optimize_what_is_not_there": (6, "there is no database shopp; did you mean shop?", "known: shop"),
    "storage_that_is_not_there": (7, "there is no storage space; did you mean spaces?", "known: spaces"),
    "storage_twice": (4, "name at least one storage, each once", "hint"),
    "tab": (3, "a tab where YAML wants spaces", "indent with spaces"),
    "tag": (3, "services.web: has the tag !service", "remove the tag"),
    "tcp_without_a_port": (5, "checks[0].tcp: 'example.com' is not an address", "example.com:5432"),
    "text_at_the_top": (1, "must be a mapping at the top", "name: x"),
    "time_zone": (2, "timezone: 'Asia/Manilla' is not a time zone", "Asia/Manila"),
    "timeout_longer_than_every": (5, "asked every 5s but may take 30s", "make `timeout` shorter"),
    "two_checks_of_one_name": (6, "a second check called http in web", "name:"),
    "two_documents": (2, "a second document starts here", "keep one"),
    "unclosed_bracket": (3, "opened and never closed", "close"),
    "unclosed_quote": (2, "a quote is opened and never closed", "close the quote"),
    "unknown_option_at_the_top": (1, "nmae: unknown option; did you mean name?", "hint"),
    "unknown_option_of_a_check": (5, "http.staus: unknown option; did you mean status?", "hint"),
    "unknown_option_of_a_service": (
        4,
        "services.web.critcal: unknown option; did you mean critical?",
        "hint",
    ),
    "unknown_option_without_a_likeness": (
        5,
        "http.xyzzy: unknown option",
        "known in services.web.checks[0].http",
    ),
    "webhook_body_too_large": (6, "the edge takes no body larger than 1.0 MB", "edge.max_body larger"),
    "webhook_copies_unknown": (6, "valid for 6m but known as a copy for 1m", "make `dedup` longer"),
    "webhook_forgotten_too_soon": (5, "forgotten after 1h, and their copies would be new", "make it 3d"),
    "webhook_from_no_network": (5, "names one address of a network", "192.0.2.0/24"),
    "webhook_name_with_a_slash": (3, "'bank/in' is not allowed here", "letters, digits"),
    "webhook_of_an_unknown_scheme": (5, "no such scheme type: 'hmca'; did you mean hmac?", "known types"),
    "webhook_order_of_nothing": (5, "'customer' is not an order key", "body:data.customer"),
    "webhook_secret_in_the_file": (4, "a secret is written {secret: NAME}", "hint"),
    "webhook_without_a_secret": (3, "nothing would prove that bank is the sender", "webhook_bank"),
    "yes_is_not_true": (4, "services.web.critical: must be true or false, not 'yes'", "true or false"),
}

LINE = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): (?P<what>.+) \(hint: (?P<hint>.+)\)$")


def complaint(path: Path) -> str:
    """What loading the file says."""
    with pytest.raises(ConfigError) as caught:
        load(path, secrets=path.stem == "secret_that_is_missing", environ={})
    return str(caught.value)


def test_every_broken_file_has_its_expectation() -> None:
    assert sorted(path.stem for path in BROKEN.glob("*.yaml")) == sorted(EXPECTED)
    assert len(EXPECTED) >= 60


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_file_gives_one_line_with_place_and_remedy(name: str) -> None:
    line, what, hint = EXPECTED[name]
    said = complaint(BROKEN / f"{name}.yaml")
    found = LINE.fullmatch(said)
    assert found, said
    assert (found["file"], int(found["line"])) == (str(BROKEN / f"{name}.yaml"), line), said
    assert what in found["what"], said
    assert hint == "hint" or hint.lower() in found["hint"].lower(), said


@pytest.mark.parametrize(
    "name",
    [
        "unknown_option_of_a_check",
        "tab",
        "binary",
        "nothing",
        "password_in_an_address",
        "secret_that_is_missing",
    ],
)
def test_the_command_says_it_in_one_line_and_exits_with_2(name: str, tmp_path: Path) -> None:
    line, what, _ = EXPECTED[name]
    env = bare_environment(HOME=str(tmp_path))
    done = mainstay("config", "check", str(BROKEN / f"{name}.yaml"), env=env)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"{name}.yaml:{line}: " in done.stderr
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_every_fault_of_a_file_is_told_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text(
        "name: my company\ntimezone: Mars/Phobos\nservices:\n  web: {critical: maybe, checks: [{htp: x}]}\n"
    )
    with pytest.raises(ConfigProblems) as caught:
        load(file)
    assert [LINE.fullmatch(str(one))["line"] for one in caught.value.problems] == ["1", "2", "4", "4"]  # type: ignore[index]


def test_more_faults_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: x\n" + "".join(f"wrong{number}: 1\n" for number in range(50)))
    assert complaint(file).splitlines()[-1] == "... and 30 more"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: x\n" + "# padding\n" * 200_000)
    assert "is larger than 1 MB (hint: " in complaint(file)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: x\nservices: " + "[" * 5000 + "\n")
    said = complaint(file)
    assert "\n" not in said
    assert "hint: " in said


@pytest.fixture
def nobody() -> Iterator[None]:
    """Run as somebody without rights, as root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text("name: x\n")
    file.chmod(0o000)
    tmp_path.chmod(0o755)
    request.getfixturevalue("nobody")
    assert complaint(file).startswith(f"{file}: may not be read by this account (hint: ")


def test_a_directory_and_nothing_at_all(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path}: is a directory (hint: name the file itself)"
    gone = tmp_path / "gone.yaml"
    assert complaint(gone) == f"{gone}: there is no such file (hint: mainstay init writes one)"


def test_a_link_to_nothing(tmp_path: Path) -> None:
    link = tmp_path / "mainstay.yaml"
    link.symlink_to(tmp_path / "gone")
    assert "there is no such file" in complaint(link)
