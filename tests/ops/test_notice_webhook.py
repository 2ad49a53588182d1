"""Webhooks are signed so that the receivers' own library accepts them, and go nowhere else."""

import ssl
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import trustme
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from isthmus.ops.notices.channels import Gone, NotTaken
from isthmus.ops.notices.deciding import Notice
from isthmus.ops.notices.webhook import Webhook
from isthmus.sdk.secret import Secret
from isthmus.sdk.signing import keys_of, signed
from tests.sdk.wire import peer, reply, says

OLD = "whsec_" + b64encode(b"o" * 24).decode()
NEW = "whsec_" + b64encode(b"n" * 32).decode()
OTHER = "whsec_" + b64encode(b"x" * 32).decode()


def notice(**changes: object) -> Notice:
    now = datetime.now(UTC)
    return msgspec.structs.replace(Notice(id="msg_1", kind="news", owner="Ärger", made_at=now), **changes)


def parts(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, content = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}, content


@pytest.mark.parametrize("known", [pytest.param(NEW, id="the new"), pytest.param(OLD, id="the old")])
async def test_a_receiver_accepts_it_with_either_secret_while_one_is_changed(known: str) -> None:
    async with peer(says(reply(204))) as receiver:
        answer = await Webhook(f"{receiver.url}/in?x=1", Secret(f"{NEW}\n{OLD}\n")).send(
            notice(), datetime.now(UTC)
        )
    assert answer == "it answered 204"
    headers, content = parts(receiver.heard[0])
    assert receiver.heard[0].startswith(b"POST /in?x=1 HTTP/1.1\r\n")
    assert Receiver(known).verify(content, headers)["data"]["owner"] == "Ärger"
    assert headers["webhook-id"] == "msg_1"
    with pytest.raises(WebhookVerificationError):
        Receiver(OTHER).verify(content, headers)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"webhook-id": "msg_2"}, id="another id"),
        pytest.param({"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) - 1)}, id="another time"),
        pytest.param({}, id="another body"),
    ],
)
def test_a_changed_message_is_refused(spoil: dict[str, str]) -> None:
    content = b'{"a":1}'
    headers = dict(signed("msg_1", datetime.now(UTC), content, keys_of(Secret(NEW))))
    Receiver(NEW).verify(content, headers)
    with pytest.raises(WebhookVerificationError):
        Receiver(NEW).verify(content if spoil else b'{"a":2}', {**headers, **spoil})


async def test_sent_again_it_has_the_same_id_and_body_and_the_time_of_the_new_try() -> None:
    """A receiver refuses a timestamp that is some minutes old, and tells a repeat by its id."""
    one, now = notice(), datetime.now(UTC)
    async with peer(says(reply())) as receiver:
        hook = Webhook(receiver.url, Secret(NEW))
        await hook.send(one, now - timedelta(hours=2))
        await hook.send(one, now)
    (first, body), (second, again) = map(parts, receiver.heard)
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 7200
    Receiver(NEW).verify(again, second)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    async with (
        peer(says(reply())) as elsewhere,
        peer(says(reply(status, location=f"{elsewhere.url}/there"))) as receiver,
    ):
        with pytest.raises(NotTaken, match=f"it answered {status}; redirects are not followed"):
            await Webhook(receiver.url, Secret(NEW)).send(notice(), datetime.now(UTC))
    assert (len(receiver.heard), elsewhere.heard) == (1, [])


@pytest.mark.parametrize("status", [400, 401, 404, 500, 502])
async def test_anything_but_success_is_tried_again(status: int) -> None:
    async with peer(says(reply(status, b"why"))) as receiver:
        with pytest.raises(NotTaken, match=f"it answered {status}") as caught:
            await Webhook(receiver.url, Secret(NEW)).send(notice(), datetime.now(UTC))
    assert not isinstance(caught.value, Gone)
    assert "why" not in str(caught.value)


async def test_a_peer_names_its_pause() -> None:
    async with peer(says(reply(429, retry_after="90"))) as receiver:
        with pytest.raises(NotTaken) as caught:
            await Webhook(receiver.url, Secret(NEW)).send(notice(), datetime.now(UTC))
    assert caught.value.retry_after_s == 90


async def test_410_says_that_no_more_are_wanted() -> None:
    async with peer(says(reply(410))) as receiver:
        with pytest.raises(Gone, match="410"):
            await Webhook(receiver.url, Secret(NEW)).send(notice(), datetime.now(UTC))


async def test_the_firms_own_authority_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with peer(says(reply()), tls=context) as receiver:
        assert receiver.url.startswith("https://")
        with pytest.raises(NotTaken, match="no connection"):
            await Webhook(receiver.url, Secret(NEW)).send(notice(), datetime.now(UTC))
        assert receiver.heard == []
        trusting = Webhook(receiver.url, Secret(NEW), ca_file=tmp_path / "ca.pem")
        assert await trusting.send(notice(), datetime.now(UTC)) == "it answered 200"


async def test_the_path_of_an_address_is_in_no_error() -> None:
    async with peer(says(then_close=True)) as receiver:
        with pytest.raises(NotTaken) as caught:
            await Webhook(f"{receiver.url}/T0/B1/hush?token=hush", Secret(NEW)).send(
                notice(), datetime.now(UTC)
            )
    assert "hush" not in str(caught.value)
    assert "sent, no answer" in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        pytest.param("whsec_" + b64encode(b"s" * 23).decode(), "this one has 23", id="a short key"),
        pytest.param("whsec_" + b64encode(b"s" * 65).decode(), "this one has 65", id="a long key"),
        pytest.param(b64encode(b"s" * 32).decode(), "must begin with whsec_", id="no prefix"),
        pytest.param("whsec_???", "must be base64", id="no base64"),
        pytest.param("  ", "there is no secret in it", id="nothing"),
    ],
)
def test_a_secret_has_the_form_of_one_and_is_not_quoted(secret: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        keys_of(Secret(secret))
    assert secret.strip() == "" or secret not in str(caught.value)
