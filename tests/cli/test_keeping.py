"""`mainstay backup prune|verify|claim` and `prove --all`, and what `mainstay doctor` says of a storage."""

from __future__ import annotations

import pyrage
import pytest

from tests.cli.conftest import Cli, Company
from tests.cli.test_acting import shop

__all__ = ["shop"]

SEALED = """
name: shop
state_dir: state
databases:
  erp: {dsn: {secret: erp_dsn}, backup: {at: 0 2 * * *, to: vault}}
storage: {vault: {directory: {path: vault, encrypt: {recipients: [RECIPIENT], identity: {secret: key}}}}}
"""


@pytest.fixture
def sealed(company: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
    """The company, its storage encrypted."""
    identity = pyrage.x25519.Identity.generate()
    company.write(SEALED.replace("RECIPIENT", str(identity.to_public())))
    monkeypatch.setenv("MAINSTAY_KEY", str(identity))
    return company


@pytest.mark.usefixtures("shop")
def test_backups_are_kept_in_order(sealed: Company, cli: Cli) -> None:
    assert cli("backup", "prove", "--all", "--dry-run").out == "would prove erp\n"
    nothing = cli("backup", "prove", "--all")
    assert (nothing.code, "no backup" in nothing.out) == (1, True)
    assert cli("backup", "now").code == 0
    (backup,) = cli("backup", "list", "--json").data["backups"]

    planned = cli("backup", "prune", "--dry-run")
    assert planned.out.startswith("erp in vault: keep 30 daily, 12 monthly\n")
    assert "last proven, less than two days old, daily, monthly" in planned.out
    (plan,) = cli("backup", "prune", "erp", "--dry-run", "--json").data["plans"]
    assert [each["id"] for each in plan["backups"]] == [backup["id"]]
    assert "0 backups deleted" in cli("backup", "prune").out

    assert cli("backup", "verify", "--dry-run").out == "would verify erp\n"
    said = cli("backup", "verify", "--rate", "500MB")
    assert (said.code, "1 backups, " in said.out) == (0, True), said
    assert cli("backup", "verify", backup["id"][-8:]).code == 0
    wrong = cli("backup", "verify", "--rate", "quickly")
    assert (wrong.code, "write it like 200MB" in wrong.err) == (2, True)

    table = cli("backup", "prove", "--all")
    assert table.code == 0, table
    assert "● proven" in table.out
    (row,) = cli("backup", "prove", "--all", "--json").data["proofs"]
    assert (row["verdict"], row["tables"], row["rows"], row["why"]) == ("proven", 3, 600, "")
    assert 0 < row["restore_seconds"] <= row["proof_seconds"]

    dump = next((sealed.home / "vault").rglob("*.pgc*"))
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-20] + b"\0" * 20)
    damaged = cli("backup", "verify")
    assert (damaged.code, "1 backups of erp are damaged" in damaged.out) == (1, True), damaged
    table = cli("backup", "prove", "--all")
    assert (table.code, "✖ failed" in table.out) == (1, True), table


@pytest.mark.usefixtures("shop")
def test_a_storage_is_claimed(sealed: Company, cli: Cli) -> None:
    planned = cli("backup", "claim", "vault", "--dry-run")
    assert (planned.code, "belongs to nobody" in planned.out) == (0, True)
    assert not (sealed.home / "vault/.mainstay").exists()
    assert "this installation's now; it belonged to nobody" in cli("backup", "claim", "vault").out
    (sealed.home / "vault").rename(sealed.home / "unmounted")
    lines = {line["what"]: line for line in cli("doctor", "--json").data["lines"]}
    assert (lines["storage vault"]["state"], "is the disk mounted?" in lines["storage vault"]["hint"]) == (
        "fail",
        True,
    )
    assert not (sealed.home / "vault").exists()
    (sealed.home / "unmounted").rename(sealed.home / "vault")
    sealed.journal.unlink()  # another installation finds the same place
    lines = {line["what"]: line for line in cli("doctor", "--json").data["lines"]}
    assert "belongs to another installation" in lines["storage vault"]["detail"]
    assert cli("backup", "prune", "--dry-run").code == 1
    assert cli("backup", "claim", "vault", "--json").data["before"]["host"]
    assert cli("backup", "prune", "--dry-run").code == 0
    assert "there is no storage" in cli("backup", "claim", "volt").err


@pytest.mark.usefixtures("shop")
def test_the_doctor_knows_what_a_storage_is_for(
    sealed: Company, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line() -> dict[str, str]:
        lines = {each["what"]: each for each in cli("doctor", "--json").data["lines"]}
        found: dict[str, str] = lines["storage vault"]
        return found

    assert (line()["state"], line()["detail"].rpartition("; ")[2]) == ("ok", "encrypted for 1")
    monkeypatch.setenv("MAINSTAY_KEY", str(pyrage.x25519.Identity.generate()))
    assert (line()["state"], "does not open what is written now" in line()["detail"]) == ("warn", True)
    monkeypatch.setenv("MAINSTAY_KEY", "this is not a key")
    assert (line()["state"], "secret key is not an identity" in line()["detail"]) == ("fail", True)
    text = sealed.file.read_text()
    sealed.write(text.replace(", identity: {secret: key}", ""))
    assert "no identity here: backups are proven elsewhere" in line()["detail"]
    sealed.write(text.replace("path: vault,", "path: vault, write_only: true,"))
    assert (line()["state"], "its key can delete" in line()["detail"]) == ("warn", True)
