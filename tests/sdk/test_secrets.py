"""Credentials: sent once where they belong, renewed once, and never seen anywhere else."""

import traceback

import msgspec
import pytest
import trio

from isthmus.sdk.errors import ConnectorError, Retryable, Unsure
from isthmus.sdk.http import HttpLimits, TokenAuth, fate_of, open_http
from isthmus.sdk.secret import Secret
from tests.sdk.wire import Answer, Stream, peer, reply, says, turns

TOKEN = "tok-9f8e7d6c5b4a"


class Logins:
    """Counts logins; each gives another token."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> str:
        await trio.lowlevel.checkpoint()
        self.count += 1
        return f"{TOKEN}-{self.count}"


def test_a_secret_shows_only_when_revealed() -> None:
    secret = Secret(TOKEN)
    assert secret.reveal() == TOKEN
    assert TOKEN not in f"{secret} {secret!r} {[secret]} {secret!s:>20}"
    assert not hasattr(secret, "__dict__")


def test_a_secret_in_settings_cannot_be_encoded_by_accident() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode({"token": Secret(TOKEN)})


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


async def test_calls_at_the_same_time_share_one_login() -> None:
    logins = Logins()
    async with (
        peer(says(reply())) as origin,
        open_http(origin.url, auth=TokenAuth(logins)) as http,
    ):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(http.get, "items")
        assert len(origin.heard) == 5
    assert logins.count == 1


async def test_an_expired_token_is_renewed_once_and_the_call_repeated() -> None:
    logins = Logins()
    answers = turns(says(reply(401)), says(reply(201)))
    async with peer(answers) as origin, open_http(origin.url, auth=TokenAuth(logins)) as http:
        assert (await http.post("items", json={"n": 1})).status == 201
    assert logins.count == 2
    assert f"Bearer {TOKEN}-1".encode() in origin.heard[0]
    assert f"Bearer {TOKEN}-2".encode() in origin.heard[1]
    assert all(request.endswith(b'{"n":1}') for request in origin.heard)


async def test_a_token_refused_twice_is_the_connectors_to_judge() -> None:
    logins = Logins()
    async with peer(says(reply(401))) as origin, open_http(origin.url, auth=TokenAuth(logins)) as http:
        assert (await http.get("items")).status == 401
    assert (logins.count, len(origin.heard)) == (2, 2)


async def test_a_login_without_an_answer_leaves_no_doubt_about_the_write() -> None:
    async def lost() -> str:
        raise Unsure("the login was sent, no answer")

    async with peer(says(reply())) as origin, open_http(origin.url, auth=TokenAuth(lost)) as http:
        with pytest.raises(Retryable, match="no login") as error:
            await http.post("items", json={})
    assert not isinstance(error.value, Unsure)
    assert origin.heard == []


def everything_said(error: BaseException) -> str:
    """All that a log, a dead letter or a traceback could show of an error."""
    words = getattr(error, "peer_words", None)
    return f"{error} {error!r} {words} {''.join(traceback.format_exception(error))}"


async def quoting(stream: Stream, request: bytes) -> None:
    """A peer that quotes the whole request in its refusal."""
    await stream.send_all(reply(400, request))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(quoting, id="a refusal that quotes the request"),
        pytest.param(says(then_close=True), id="no answer"),
        pytest.param(says(b"", pause_s=5), id="a deadline"),
        pytest.param(says(b"nonsense\r\n\r\n", then_close=True), id="no HTTP"),
        pytest.param(says(reply(429, b"slow")), id="a throttle"),
    ],
)
@pytest.mark.parametrize("method", [pytest.param("GET", id="GET"), pytest.param("POST", id="POST")])
async def test_no_error_shows_a_credential(answer: Answer, method: str) -> None:
    logins = Logins()
    limits = HttpLimits(deadline_s=0.2)
    path = f"items?api_key={TOKEN}-in-url"
    async with (
        peer(answer) as origin,
        open_http(origin.url, auth=TokenAuth(logins), limits=limits) as http,
    ):
        link = path if answer is not quoting else "items"
        with pytest.raises(ConnectorError) as error:
            raise fate_of(await http.request(method, link), write=method == "POST")
        assert TOKEN not in everything_said(error.value)


async def test_the_quoting_peer_really_had_the_credential() -> None:
    """The mutant: without scrubbing, the refusal above would show it."""
    async with peer(quoting) as origin, open_http(origin.url, auth=TokenAuth(Logins())) as http:
        given = await http.get("items")
    assert TOKEN.encode() in origin.heard[0]
    assert b"Bearer ***" in given.body


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(f"//127.0.0.2/x?token={TOKEN}", id="a malformed link"),
        pytest.param(f"http://127.0.0.2/x?token={TOKEN}", id="a link elsewhere"),
        pytest.param(f"http://user:{TOKEN}@127.0.0.2/", id="a password in a link"),
    ],
)
async def test_a_refused_link_is_named_without_its_secrets(link: str) -> None:
    async with open_http("http://127.0.0.1:9") as http:
        with pytest.raises(ConnectorError) as error:
            await http.get(link)
    assert TOKEN not in everything_said(error.value)


async def test_a_credential_with_a_line_break_is_named_as_such() -> None:
    async def token() -> str:
        return f"{TOKEN}\n"

    async with peer(says(reply())) as origin, open_http(origin.url, auth=TokenAuth(token)) as http:
        with pytest.raises(ConnectorError, match="line break") as error:
            await http.post("items", json={})
    assert TOKEN not in everything_said(error.value)
    assert origin.heard == []
