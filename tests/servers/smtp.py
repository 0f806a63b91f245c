"""A mail server which keeps what it is given."""

from __future__ import annotations

import threading
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers.process import LOOPBACK, free_port


class SmtpSink:
    """Every login is right; `logins` keeps them. `answer` makes it refuse: `answer("451 later, please")`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: list[EmailMessage] = []
        self._answer: str | None = None
        self.recipients: list[list[str]] = []
        self.logins: list[tuple[str, str]] = []
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname=LOOPBACK,
            port=self.port,
            authenticator=self._login,
            auth_require_tls=False,
        )
        self._controller.start()

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def messages(self) -> list[EmailMessage]:
        with self._changed:
            return list(self._messages)

    def wait(self, count: int, deadline: float = 10.0) -> list[EmailMessage]:
        """The messages as soon as there are `count` of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._messages) >= count, deadline):
                raise AssertionError(f"{len(self._messages)} messages in {deadline} s, {count} were expected")
            return list(self._messages)

    def answer(self, reply: str | None) -> None:
        """The reply to every further message, such as `451 later`; None accepts again."""
        self._answer = reply

    def stop(self) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        if self._answer is not None:
            return self._answer
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        with self._changed:
            self._messages.append(message)
            self.recipients.append(list(envelope.rcpt_tos))
            self._changed.notify_all()
        return "250 kept"

    def _login(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        if isinstance(data, LoginPassword):
            self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=True)
