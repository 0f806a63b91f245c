"""Arguments, exit codes, faults and streams."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay import __version__
from mainstay.cli.catalog import COMMANDS
from mainstay.cli.entry import parser_of
from mainstay.cli.output import Output
from tests.cli import scenes
from tests.cli.conftest import Cli, Company
from tests.helpers import command, mainstay


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(cli: Cli, name: str) -> None:
    said = cli(name, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"usage: mainstay {name}")
    assert "--config PATH" in said.out
    assert cli("help", name) == said
    assert parser_of(COMMANDS[name]).description


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_names_every_command(cli: Cli, arguments: list[str]) -> None:
    said = cli(*arguments)
    assert said.code == 0
    assert all(f"  {name} " in said.out for name in COMMANDS)


def test_no_command_is_a_fault_with_help(cli: Cli) -> None:
    said = cli()
    assert (said.code, said.out) == (2, "")
    assert "usage: mainstay COMMAND" in said.err


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["version"], ["--json", "version"]])
def test_versions(cli: Cli, arguments: list[str]) -> None:
    said = cli(*arguments)
    assert (said.code, __version__ in said.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["statsu"], "there is no command statsu; did you mean status?"),
        (["--colour"], "there is no option --colour"),
        (["help", "bakcup"], "there is no command bakcup; did you mean backup?"),
        (["status", "--jsno"], "did you mean --json?"),
        (["config", "explian"], "did you mean explain?"),
        (["backup"], "the following arguments are required: ACTION"),
        (["silence", "web"], "a silence needs an end and a reason"),
        (["silence", "web", "--for", "soon", "--why", "x"], "'soon' is not a duration"),
        (["silence", "web", "--for", "99d", "--why", "x"], "between 1s and 31d"),
        (["silence", "wbe", "--for", "1h", "--why", "x"], "did you mean web?"),
        (["heal"], "which service? (hint: to be healed are: none"),
        (["heal", "web"], "nothing says how to heal web"),
        (["backup", "now", "epr"], "did you mean erp?"),
        (["run", "bakcup:erp", "--dry-run"], "did you mean backup:erp?"),
        (["run", "backup:erp", "--arg", "x"], "write --arg NAME=VALUE"),
        (["config", "explain", "services.nobody"], "there is no services.nobody in force"),
        (["--config", "elsewhere.yaml", "status"], "elsewhere.yaml: there is no such file"),
        (["status", "--config=elsewhere.yaml"], "elsewhere.yaml: there is no such file"),
    ],
)
def test_faults_of_usage_are_one_line_with_a_hint(
    company: Company, cli: Cli, arguments: list[str], words: str
) -> None:
    said = cli(*arguments)
    assert said.out == ""
    assert said.code in (1, 2)
    assert said.err.startswith("mainstay: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert "hint: " in said.err


def test_without_a_configuration(company: Company, cli: Cli, tmp_path: Path) -> None:
    company.file.unlink()
    assert "mainstay init writes one" in cli("status").err


def test_a_fault_of_our_own_is_one_line_and_the_details_are_kept(
    company: Company, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("postgresql://jo:hunter2@db/x is odd")

    monkeypatch.setattr("mainstay.cli.status.run", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = cli("status")
    assert said.code == 3
    assert said.err.count("\n") == 1
    assert "something unexpected went wrong: ValueError: postgresql://jo:********@db/x is odd" in said.err
    (kept,) = tmp_path.glob("mainstay-fault-*.log")
    assert str(kept) in said.err
    assert "Traceback" in kept.read_text()
    assert "hunter2" not in kept.read_text()
    shown = cli("status", "--debug")
    assert "Traceback" in shown.err
    assert "hunter2" not in shown.err


def test_debug_shows_the_traceback_of_an_expected_fault_too(company: Company, cli: Cli) -> None:
    assert "Traceback" in cli("--debug", "status").err


def test_ctrl_c_ends_a_follower_with_130(company: Company, now: float) -> None:
    from mainstay.core.run import RunState

    company.change(scenes.run_of(now, "01runaaa", "backup:erp", RunState.QUEUED))
    process = subprocess.Popen(
        command("logs", "backup:erp", "-f"), cwd=company.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err, out) == (130, "interrupted\n", "")


def test_a_reader_that_goes_away_is_no_fault(company: Company, now: float) -> None:
    company.change(scenes.together(scenes.alive(now), scenes.answers(now)))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("status"), cwd=company.home, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_colours_are_for_people_only(company: Company, now: float) -> None:
    company.change(scenes.together(scenes.alive(now), scenes.answers(now)))
    assert "\x1b[" not in mainstay("status", cwd=company.home).stdout
    assert "\x1b[" in mainstay("status", cwd=company.home, env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b[" in on_a_terminal(company.home)
    assert "\x1b[" not in on_a_terminal(company.home, "--no-color")
    assert "\x1b[" not in on_a_terminal(company.home, NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal(company.home, TERM="dumb")


def on_a_terminal(home: Path, *options: str, **env: str) -> str:
    """What `mainstay status` writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("status", *options), cwd=home, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", **env}
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:
        pass  # Linux says so when the other side of a terminal is closed
    finally:
        os.close(ours)
    assert process.wait(30) == 0
    return seen.decode()


def test_a_terminal_without_unicode_gets_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    out = Output(io.TextIOWrapper(raw, encoding="ascii"))
    out.print("● ok ✖ fails ▲ warns …")
    out.stdout.flush()
    assert raw.getvalue() == b"o ok x fails ! warns ...\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"mainstay {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inbox", "list", "--sate", "dead"], "mainstay inbox list: unrecognized arguments: --sate dead"),
        (["webhook", "send", "bank", "--typ", "x"], "mainstay webhook send: unrecognized arguments: --typ x"),
        (["inbox", "show", "--sate"], "mainstay inbox show: "),
    ],
)
def test_an_option_is_guessed_from_those_of_the_action(cli: Cli, arguments: list[str], words: str) -> None:
    said = cli(*arguments)
    assert (said.code, words in said.err) == (2, True)
    guess = {"--sate": "--state", "--typ": "--type"}[next(one for one in arguments if one.startswith("--"))]
    assert (f"did you mean {guess}?" in said.err) is (arguments[1] != "show")
