"""Sends notices as plain mails to the local mail server, which knows the way out and has patience."""

import smtplib
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256

import trio

from isthmus.ops.notices.channels import Channel, NotTaken
from isthmus.ops.notices.deciding import Notice
from isthmus.ops.notices.words import heading, text
from isthmus.sdk.scrub import scrub

__all__ = ["Mail", "composed"]

DEADLINE_S = 25.0
STEP_S = 10.0
"""The longest one answer of the server may take."""


def composed(notice: Notice, sender: str, to: Sequence[str]) -> EmailMessage:
    """The mail. Sent again it is the same, ``Message-ID`` included.

    Raises:
        ValueError: a header would have a line break; no mail is made of it.
    """
    mail = EmailMessage(policy=SMTP.clone(raise_on_defect=True))
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = heading(notice)
    mail["Date"] = format_datetime(notice.made_at)
    mail["Message-ID"] = f"<{notice.id}@{_domain(sender)}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text(notice))
    return mail


class Mail(Channel):
    """The mailboxes of one owner, each mail to all of them."""

    name = "email"

    def __init__(self, to: Sequence[str], *, host: str, port: int, sender: str) -> None:
        self.address = sha256("\0".join(to).encode()).hexdigest()
        self._to = tuple(to)
        self._host = host
        self._port = port
        self._sender = sender
        self._thread = trio.CapacityLimiter(1)

    async def send(self, notice: Notice, now: datetime) -> str:
        mail = composed(notice, self._sender, self._to)
        with trio.move_on_after(DEADLINE_S):
            return await trio.to_thread.run_sync(
                self._hand_over, mail, abandon_on_cancel=True, limiter=self._thread
            )
        raise NotTaken(f"{self._host}:{self._port} took longer than {DEADLINE_S:g} s")

    def _hand_over(self, mail: EmailMessage) -> str:
        """In a thread: the whole conversation."""
        place = f"{self._host}:{self._port}"
        # Left out, our own name is asked of the resolver, which may be what is down.
        name = _domain(self._sender)
        try:
            with smtplib.SMTP(self._host, self._port, local_hostname=name, timeout=STEP_S) as server:
                refused = server.send_message(mail, self._sender, list(self._to))
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({str(code) for code, _ in error.recipients.values()})
            raise NotTaken(f"{place} refused every recipient: {', '.join(codes)}") from error
        except smtplib.SMTPResponseException as error:
            words = error.smtp_error
            said = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
            raise NotTaken(f"{place} answered {error.smtp_code} {' '.join(said.split())[:200]}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise NotTaken(f"{place}: {scrub(str(error)) or type(error).__name__}") from error
        if refused:
            return f"{place} took it for {len(self._to) - len(refused)} of {len(self._to)} recipients"
        return f"{place} took it"


def _domain(mailbox: str) -> str:
    return mailbox.rpartition("@")[2]
