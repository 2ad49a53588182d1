"""The settings of messages to owners: who is told over which ways, and the mail server."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from isthmus.sdk.secret import Secret

__all__ = ["MailConfig", "NotifyConfig"]

Mailbox = Annotated[str, Meta(max_length=254)]
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")


def check_mailbox(setting: str, mailbox: str) -> None:
    """Look at a mail address: no name beside it, and nothing that could end a header.

    Raises:
        ValueError: it is none; the message begins with ``setting``.
    """
    if not _MAILBOX.fullmatch(mailbox):
        raise ValueError(f'{setting} has "{mailbox}", which is no address; write "name@example.com"')


def check_webhook(url: str) -> None:
    """Look at the address of a webhook.

    Raises:
        ValueError: it is not https (http is for this machine only), or carries credentials or a fragment.
    """
    refusal = 'webhook is no address; write "https://host/path" without a user name'
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(refusal) from error
    near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    usable = url.isascii() and url.isprintable() and " " not in url and bool(parts.hostname) and port != 0
    if not usable or parts.username is not None or parts.fragment:
        raise ValueError(refusal)
    if parts.scheme != "https" and not (near and parts.scheme == "http"):
        raise ValueError('webhook must begin with "https://"')


class MailConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[mail]``: the mail server that takes messages to owners."""

    host: Annotated[str, Meta(min_length=1, max_length=255)] = "localhost"
    """The mail server, spoken to without login or TLS: the one of this machine."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 25
    """Its port."""
    sender: Mailbox = "isthmus@localhost"
    """Whom mails are from; replies and bounces go there."""

    def __post_init__(self) -> None:
        check_mailbox("sender", self.sender)


class NotifyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[notify.<owner>]``: how somebody is told what waits for them."""

    email: tuple[Mailbox, ...] = ()
    """Mailboxes; each mail goes to all of them."""
    webhook: str | None = None
    """An address that takes a signed POST."""
    secret: Secret | None = None
    """What the webhook is signed with: ``whsec_`` and base64, several words while it is changed."""
    ca_file: Path | None = None
    """PEM of the only authorities the webhook's certificate may come from, instead of the system's."""
    every_s: Annotated[float, Meta(ge=60, le=86_400)] = 900.0
    """How long news is gathered into one message, and the least time between two."""
    quiet: str | None = None
    """Hours without messages, ``22:00-07:00``; what comes then is told after them."""
    zone: str = "UTC"
    """The time zone of ``quiet``."""

    def __post_init__(self) -> None:
        for mailbox in self.email:
            check_mailbox("email", mailbox)
        if not self.email and self.webhook is None:
            raise ValueError("name at least one of email and webhook")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("webhook and secret belong together; set both or none")
        if self.webhook is not None:
            check_webhook(self.webhook)
        if self.quiet is not None and not _HOURS.fullmatch(self.quiet):
            raise ValueError(f'quiet "{self.quiet}" is no time of day; write "22:00-07:00"')
        try:
            ZoneInfo(self.zone)
        except (ValueError, OSError, ZoneInfoNotFoundError) as error:
            raise ValueError(f'zone "{self.zone}" is no time zone; write "Europe/Berlin"') from error
