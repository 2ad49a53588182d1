"""Mails go to the local mail server, whole, and nothing in them is anybody's header but ours."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec
import pytest
import trio

from isthmus.ops.notices import mail
from isthmus.ops.notices.channels import NotTaken
from isthmus.ops.notices.deciding import Group, Notice
from isthmus.ops.notices.mail import Mail, composed

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
TO = ("ar@example.com", "boss@example.com")


def notice(**changes: object) -> Notice:
    known = Notice(id="msg_1", kind="news", owner="ar", made_at=NOW, count=2, open=2)
    return msgspec.structs.replace(known, **changes)


class Server:
    """As much of a mail server as a client sees; ``answers`` replaces what it says to a command."""

    def __init__(self, answers: Mapping[str, str], silent: bool) -> None:
        self.port = 0
        self.commands: list[str] = []
        self.mails: list[EmailMessage] = []
        self._answers = answers
        self._silent = silent

    async def serve(self, stream: trio.SocketStream) -> None:
        if self._silent:
            await trio.sleep_forever()
        received = b""
        await stream.send_all(b"220 test\r\n")
        in_data = False
        async for chunk in stream:
            received += chunk
            end = b"\r\n.\r\n" if in_data else b"\r\n"
            while end in received:
                line, _, received = received.partition(end)
                if in_data:
                    found = message_from_bytes(line.replace(b"\r\n..", b"\r\n."), policy=policy.default)
                    self.mails.append(found)
                    verb, in_data, end = "END", False, b"\r\n"
                else:
                    self.commands.append(line.decode())
                    verb = line.decode().split(" ")[0].upper()
                said = self._answers.get(line.decode(errors="replace")) or self._answers.get(verb)
                if said is None:
                    said = {"DATA": "354 go on", "QUIT": "221 bye"}.get(verb, "250 ok")
                await stream.send_all(f"{said}\r\n".encode())
                if verb == "DATA" and said.startswith("354"):
                    in_data, end = True, b"\r\n.\r\n"


@asynccontextmanager
async def server(answers: Mapping[str, str] | None = None, *, silent: bool = False) -> AsyncIterator[Server]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    running = Server(answers or {}, silent)
    running.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, running.serve, listeners)
        yield running
        nursery.cancel_scope.cancel()


def mailer(port: int) -> Mail:
    return Mail(TO, host="127.0.0.1", port=port, sender="isthmus@acme.example")


async def test_a_mail_reaches_every_mailbox_and_says_that_no_person_wrote_it() -> None:
    async with server() as mta:
        answer = await mailer(mta.port).send(notice(), NOW)
        await mailer(mta.port).send(notice(), NOW)
    assert answer == f"127.0.0.1:{mta.port} took it"
    assert mta.commands[0] == "ehlo acme.example"
    rcpt = [command for command in mta.commands if command.startswith("rcpt")]
    assert rcpt[:2] == ["rcpt TO:<ar@example.com>", "rcpt TO:<boss@example.com>"]
    first, again = mta.mails
    assert {name: str(first[name]) for name in ("From", "To", "Subject", "Message-ID", "Auto-Submitted")} == {
        "From": "isthmus@acme.example",
        "To": "ar@example.com, boss@example.com",
        "Subject": "isthmus: 2 new for ar, 2 open",
        "Message-ID": "<msg_1@acme.example>",
        "Auto-Submitted": "auto-generated",
    }
    assert first.get_content_type() == "text/plain"
    assert "In all 2 wait." in first.get_content()
    assert again["Message-ID"] == first["Message-ID"]


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param("ar\r\nBcc: everybody@example.com", id="a header"),
        pytest.param("ar\n\nhello", id="the end of the headers"),
        pytest.param("Bücher\u2028Bcc: x", id="a line separator"),
        pytest.param("x" * 5000, id="a long one"),
    ],
)
def test_a_name_can_make_no_header(owner: str) -> None:
    mailed = message_from_bytes(composed(notice(owner=owner), "a@b.example", TO).as_bytes())
    assert sorted(name.lower() for name in mailed) == [
        "auto-submitted",
        "content-transfer-encoding",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "subject",
        "to",
    ]
    assert all(len(line) <= 998 for line in mailed.as_bytes().splitlines())


def test_an_address_with_a_line_break_is_no_mail() -> None:
    with pytest.raises(ValueError, match="linefeed"):
        composed(notice(), "a@b.example", ["x@y.example\r\nBcc: z@y.example"])


async def test_a_line_that_is_a_dot_does_not_end_the_mail() -> None:
    group = Group(error_class=".", where=".", count=1, subjects=(".",))
    async with server() as mta:
        await mailer(mta.port).send(notice(groups=(group,)), NOW)
    assert "In all 2 wait." in mta.mails[0].get_content()


async def test_one_mailbox_that_is_refused_does_not_stop_the_other() -> None:
    async with server({"rcpt TO:<boss@example.com>": "550 no such box"}) as mta:
        answer = await mailer(mta.port).send(notice(), NOW)
    assert answer.endswith("took it for 1 of 2 recipients")
    assert len(mta.mails) == 1


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        pytest.param({"MAIL": "451 greylisted"}, "answered 451 greylisted", id="a sender that must wait"),
        pytest.param({"RCPT": "550 none"}, "refused every recipient: 550", id="no recipient"),
        pytest.param({"END": "452 disk full"}, "answered 452 disk full", id="no room for it"),
        pytest.param({"EHLO": "421 busy", "HELO": "421 busy"}, "421", id="no time"),
    ],
)
async def test_a_server_that_says_no_is_asked_again_later(answers: dict[str, str], why: str) -> None:
    async with server(answers) as mta:
        with pytest.raises(NotTaken, match=why):
            await mailer(mta.port).send(notice(), NOW)


async def test_no_server_at_all() -> None:
    async with server() as mta:
        port = mta.port
    with pytest.raises(NotTaken, match=f"127.0.0.1:{port}: .*refused"):
        await mailer(port).send(notice(), NOW)


async def test_a_server_that_says_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "DEADLINE_S", 0.2)
    monkeypatch.setattr(mail, "STEP_S", 0.5)
    async with server(silent=True) as mta:
        with pytest.raises(NotTaken, match=r"took longer than 0.2 s"):
            await mailer(mta.port).send(notice(), NOW)
