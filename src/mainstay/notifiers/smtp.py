"""Writing a mail and handing it to an SMTP server. Apart from the options, because it loads slowly."""

import asyncio
import email.utils
import html
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Literal

from mainstay.core.notifier import Message, NotifyError
from mainstay.notifiers.text import clip, fields, headline, late_note, moment

SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail goes, and how to log in. `timeout` is in seconds and bounds each answer to half of it."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    username: str | None
    password: str | None = field(repr=False)
    timeout: float


async def send(server: Server, mail: EmailMessage, sender: str, to: Sequence[str]) -> str:
    """Hand a mail over; give a receipt. Raises `NotifyError`."""
    recipients = [email.utils.parseaddr(address)[1] for address in to]
    try:
        refused = await asyncio.to_thread(
            _deliver, server, mail, email.utils.parseaddr(sender)[1], recipients
        )
    except smtplib.SMTPException as fault:
        raise _told(fault, server) from None
    except TimeoutError:
        raise _silent(server) from None
    except ssl.SSLCertVerificationError as fault:
        reason = fault.verify_message or "it is not trusted"
        raise NotifyError(f"{server.host} showed a certificate that does not hold: {reason}") from None
    except OSError as fault:
        reason = fault.strerror or str(fault) or type(fault).__name__
        raise NotifyError(f"{server.host} cannot be reached: {reason}") from None
    return f"accepted, but not for {', '.join(refused)}" if refused else "accepted"


def _deliver(server: Server, mail: EmailMessage, sender: str, recipients: Sequence[str]) -> list[str]:
    patience = server.timeout / 2
    trust = ssl.create_default_context()
    if server.security == "tls":
        line: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=patience, context=trust)
    else:
        line = smtplib.SMTP(server.host, server.port, timeout=patience)
    with line:
        if server.security == "starttls":
            line.starttls(context=trust)
        if server.username is not None and server.password is not None:
            line.login(server.username, server.password)
        return sorted(line.send_message(mail, sender, recipients))


def mail_of(message: Message, now: float, sender: str, to: Sequence[str]) -> EmailMessage:
    """Write the mail: plain text and simple HTML. Its Message-ID is made of the message's key."""
    domain = email.utils.parseaddr(sender)[1].rpartition("@")[2]
    root = f"<{message.thread}.incident@{domain}>"
    mail = EmailMessage()
    mail["Subject"] = clip(headline(message), SUBJECT)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = email.utils.format_datetime(datetime.fromtimestamp(now, UTC))
    mail["Message-ID"] = f"<{message.key}@{domain}>"
    # Every message answers the same root, which is never sent: mail programs show them as one conversation.
    mail["In-Reply-To"] = root
    mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_plain(message, now))
    mail.add_alternative(_html(message, now), subtype="html")
    return mail


def _plain(message: Message, now: float) -> str:
    lines = [headline(message), "", message.detail, ""]
    lines += [f"{name}: {value}" for name, value in fields(message)]
    lines += [f"Time: {moment(message.event_at)}"]
    if note := late_note(message, now):
        lines += ["", note]
    if message.link:
        lines += ["", message.link]
    return "\n".join(lines) + "\n"


def _html(message: Message, now: float) -> str:
    rows = [*fields(message), ("Time", moment(message.event_at))]
    table = "".join(
        f'<tr><td style="padding:2px 12px 2px 0;color:#57606a">{html.escape(name)}</td>'
        f'<td style="padding:2px 0">{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    note = late_note(message, now)
    link = f'<p><a href="{html.escape(message.link)}">Open the incident</a></p>' if message.link else ""
    return (
        '<!doctype html><html><body style="font-family:sans-serif;font-size:15px;color:#1f2328">'
        f'<h2 style="font-size:18px">{html.escape(headline(message))}</h2><p>{html.escape(message.detail)}</p>'
        f"<table>{table}</table>{f'<p><em>{html.escape(note)}</em></p>' if note else ''}{link}</body></html>\n"
    )


def _silent(server: Server) -> NotifyError:
    return NotifyError(f"{server.host} did not answer within {server.timeout / 2:g} s")


def _told(fault: smtplib.SMTPException, server: Server) -> NotifyError:
    """A refused text is refused for good; a refused login, sender or recipient is a fault of the set-up."""
    host = server.host
    if isinstance(fault, smtplib.SMTPServerDisconnected) and "timed out" in str(fault):
        return _silent(server)
    if isinstance(fault, smtplib.SMTPAuthenticationError):
        return NotifyError(
            f"{host} refused the login ({fault.smtp_code})", hint="replace username or password"
        )
    if isinstance(fault, smtplib.SMTPRecipientsRefused):
        names = ", ".join(fault.recipients)
        return NotifyError(
            f"{host} refused every recipient: {names}", hint="correct the addresses under `to`"
        )
    if isinstance(fault, smtplib.SMTPResponseException):
        words = fault.smtp_error
        text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        never = isinstance(fault, smtplib.SMTPDataError) and 500 <= fault.smtp_code < 600
        return NotifyError(f"{host} answered {fault.smtp_code} {clip(text, 200)}", permanent=never)
    if isinstance(fault, smtplib.SMTPNotSupportedError):
        return NotifyError(f"{host} cannot do what is asked: {fault}", hint="try another `security`")
    return NotifyError(f"{host} broke the conversation off: {fault}")
