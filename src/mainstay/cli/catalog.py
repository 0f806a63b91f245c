"""The commands, in the order in which a person meets them."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command, implemented by the module `mainstay.cli.NAME`."""

    name: str
    group: str
    summary: str

    @property
    def module(self) -> str:
        """The module that implements it."""
        return f"mainstay.cli.{self.name}"


_START, _LOOK, _ACT = "Set up", "Look", "Act"

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("demo", _START, "boot a small company on this machine and watch mainstay keep it alive"),
        Command("init", _START, "look at this machine and write a mainstay.yaml for it"),
        Command("config", _START, "check, explain or describe the configuration"),
        Command("password", _START, "give the dashboard's administrator a new password"),
        Command("up", _START, "run mainstay: checks, jobs, alerts, healing, dashboard"),
        Command("doctor", _START, "find out why something does not work"),
        Command("status", _LOOK, "what is wrong now, and how each service does"),
        Command("check", _LOOK, "how much of the priority matrix is automated, with evidence"),
        Command("incidents", _LOOK, "what went wrong, and who knows"),
        Command("inbox", _LOOK, "webhooks that were taken in: look, replay, fetch what was missed"),
        Command("jobs", _LOOK, "what is scheduled, when it ran last and is due next"),
        Command("logs", _LOOK, "what a run said"),
        Command("backup", _ACT, "take, list, prove or restore backups"),
        Command("certs", _ACT, "list, renew or bring in TLS certificates"),
        Command("restore", _ACT, "bring a server, a database or tables back as they were at a moment"),
        Command("run", _ACT, "do a job now"),
        Command("heal", _ACT, "do now what is done when a service fails"),
        Command("silence", _ACT, "tell nobody about a service for a while"),
        Command("keys", _ACT, "make, list and revoke API keys of the gateway"),
        Command("gateway", _ACT, "how the gateway's origins are; switch a route to others"),
        Command(
            "export",
            _ACT,
            "write a proxy's configuration that asks the gateway, or schedules for cron or systemd",
        ),
        Command("webhook", _ACT, "send a signed test event for a source of webhooks"),
        Command("version", _LOOK, "which mainstay this is"),
    )
}
