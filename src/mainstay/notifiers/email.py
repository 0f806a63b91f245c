"""E-mail, through any SMTP server."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mainstay.core.notifier import Message, Notifier
from mainstay.core.secret import Secret
from mainstay.core.units import Duration

PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _check_address(text: str) -> str:
    if not re.fullmatch(r"([^<>@\r\n]*<)?[^@\s<>,]+@[^@\s<>,]+>?", text) or ("<" in text) != (">" in text):
        raise ValueError(f"{text!r} is not an e-mail address; write it like ops@example.com")
    return text


Address = Annotated[str, AfterValidator(_check_address), Field(examples=["ops@example.com"])]


class Email(Notifier, type="email"):
    """Mails each message to one or several people; the messages of an incident form one thread."""

    model_config = ConfigDict(populate_by_name=True)

    host: str
    """The SMTP server."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Its port; 587, 465 or 25, as `security` says, when left out."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; `none` is for servers on the same machine."""
    username: str | None = None
    """Name to log in with; no login when left out."""
    password: Secret | None = None
    """Password to log in with."""
    sender: Address = Field(alias="from")
    """Who it comes from."""
    to: Annotated[list[Address], Field(min_length=1)]
    """Who gets it."""
    timeout: Duration = 30.0
    """How long one attempt may take."""

    @model_validator(mode="after")
    def _log_in_whole(self) -> "Email":
        if (self.username is None) != (self.password is None):
            raise ValueError("a login needs both username and password")
        return self

    async def send(self, message: Message, now: float) -> str:
        """Hand it to the server."""
        from mainstay.notifiers import smtp

        server = smtp.Server(
            self.host,
            self.port or PORTS[self.security],
            self.security,
            self.username,
            self.password.reveal() if self.password else None,
            self.timeout,
        )
        return await smtp.send(server, smtp.mail_of(message, now, self.sender, self.to), self.sender, self.to)
