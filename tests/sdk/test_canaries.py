"""Twelve credentials through hundreds of failures: none of them is in an error, a traceback or the log."""

import gzip
import io
import logging
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest

from isthmus.ops.logs import JsonLines
from isthmus.sdk.errors import ConnectorError
from isthmus.sdk.http import HttpLimits, TokenAuth, fate_of, open_http
from isthmus.sdk.scrub import scrub
from isthmus.sdk.secret import RETIRED_MAX, Secret
from tests.sdk.wire import Answer, Stream, peer, reply, says

PEM_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
CANARIES = {
    "a bearer token": "canary-bearer-0001",
    "a header of the client": "canary-apikey-0002",
    "a header of the request": "canary-header-0003",
    "a parameter of the address": "canary-param-0004",
    "a client secret in a form": "canary-secret-0005",
    "an assertion in a form": "canary.jwt.assertion-0006",
    "a refresh token in a form": "canary-refresh-0007",
    "a password with signs": "canary p&ss/w=rd%0008",
    "a name and password": "canary-user:canary-pass-0009",
    "a line of a private key": PEM_LINE,
    "a token in the answer": "canary-answer-0011",
    "a cookie": "canary-cookie-0012",
}
FORM = {
    "grant_type": "client_credentials",
    "client_secret": CANARIES["a client secret in a form"],
    "assertion": CANARIES["an assertion in a form"],
    "refresh_token": CANARIES["a refresh token in a form"],
}
GRANTS = b'{"access_token": "%s"' % CANARIES["a token in the answer"].encode()
STATUSES = (400, 401, 403, 404, 409, 412, 422, 429, 500, 502, 503)


def quoting(status: int) -> Answer:
    """A peer that quotes the whole request in its refusal, in the body and in a header."""

    async def answer(stream: Stream, request: bytes) -> None:
        told = b" ".join(request.split(b"\r\n")).decode("latin-1")
        await stream.send_all(reply(status, request, x_request=told, www_authenticate=told[:200]))

    return answer


def packed(body: bytes) -> bytes:
    return reply(400, gzip.compress(body), content_encoding="gzip")


FAILURES: list[tuple[str, Answer]] = [
    *((f"a {status} that quotes the request", quoting(status)) for status in STATUSES),
    ("a login's answer that is no JSON", says(reply(200, GRANTS))),
    ("a login's answer with a 400", says(reply(400, GRANTS))),
    ("a login's answer, packed", says(packed(GRANTS))),
    ("no answer", says(then_close=True)),
    ("half an answer", says(b"HTTP/1.1 200 X\r\ncontent-length: 900\r\n\r\n" + GRANTS, then_close=True)),
    ("a head that is none", says(GRANTS + b"\r\n\r\n", then_close=True)),
    ("an encoding nobody asked for", says(reply(200, GRANTS, content_encoding="br"))),
    ("a bomb", says(reply(200, gzip.compress(bytes(3_000_000)), content_encoding="gzip"))),
]


@pytest.fixture
def secrets() -> list[Secret]:
    """What a configuration would hold; somebody holds it for as long as the connector is open."""
    key = f"-----BEGIN PRIVATE KEY-----\n{PEM_LINE}\n-----END PRIVATE KEY-----\n"
    return [*(Secret(value) for name, value in CANARIES.items() if "answer" not in name), Secret(key)]


@pytest.fixture
def journal() -> Iterator[io.StringIO]:
    """What a daemon's log would have, its own scrubber knowing nothing."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("isthmus.canaries")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


async def failed(answer: Answer, method: str, login: str) -> AsyncIterator[ConnectorError]:
    """Every error of one call, as a connector would meet it."""

    async def token() -> str:
        return CANARIES["a bearer token"]

    headers = {
        "x-api-key": CANARIES["a header of the client"],
        "cookie": f"session={CANARIES['a cookie']}",
        "x-basic": b64encode(CANARIES["a name and password"].encode()).decode(),
    }
    link = f"items?key={quote(CANARIES['a parameter of the address'], safe='')}"
    limits = HttpLimits(deadline_s=5, max_body_bytes=2_000_000)
    async with (
        peer(answer) as origin,
        open_http(origin.url, auth=TokenAuth(token), headers=headers, limits=limits) as http,
    ):
        try:
            given = await http.request(
                method,
                link,
                form=FORM if login == "form" else None,
                json={"password": CANARIES["a password with signs"]} if login == "json" else None,
                headers={"x-other": CANARIES["a header of the request"]},
            )
        except ConnectorError as error:
            yield error
            return
        yield fate_of(given, write=method == "POST")
        yield fate_of(given, write=method == "POST", words=given.body.decode("latin-1"))
        try:
            given.json()
        except ConnectorError as error:
            yield error


def said(error: BaseException) -> str:
    words = getattr(error, "peer_words", None)
    return f"{error} {error!r} {words} {''.join(traceback.format_exception(error))}"


def found_in(text: str) -> list[str]:
    """The canaries in a text, as they are or quoted."""
    forms = {
        name: (value, quote(value, safe=""), b64encode(value.encode()).decode())
        for name, value in CANARIES.items()
    }
    return [name for name, shapes in forms.items() if any(shape in text for shape in shapes)]


@pytest.mark.parametrize("login", ["form", "json", "nothing"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("answer", [pytest.param(answer, id=name) for name, answer in FAILURES])
async def test_no_failure_shows_a_credential(
    answer: Answer, method: str, login: str, secrets: list[Secret], journal: io.StringIO
) -> None:
    errors = [error async for error in failed(answer, method, login)]
    assert errors
    for error in errors:
        assert found_in(said(error)) == []
        logging.getLogger("isthmus.canaries").error(
            "actor.failed", extra={"reason": repr(error)}, exc_info=error
        )
    assert found_in(journal.getvalue()) == []


def test_there_are_twelve_canaries_and_hundreds_of_ways() -> None:
    assert len(set(CANARIES.values())) == 12
    assert len(FAILURES) * 3 * 3 * 12 >= 2000


async def test_without_scrubbing_they_would_be_seen(
    secrets: list[Secret], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the same failures with nothing replaced."""
    monkeypatch.setattr("isthmus.sdk.errors.scrub", str)
    monkeypatch.setattr("isthmus.sdk.reply.scrub", str)
    monkeypatch.setattr("isthmus.sdk.http._scrubbed", lambda reply, request, form: reply)
    seen = set()
    for login in ("form", "json"):
        async for error in failed(quoting(400), "POST", login):
            seen |= set(found_in(said(error)))
    async for error in failed(says(reply(400, GRANTS)), "POST", "form"):
        seen |= set(found_in(said(error)))
    assert len(seen) >= 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("Basic authentication required", "Basic authentication required", id="a sentence"),
        pytest.param("Bearer token expired", "Bearer token expired", id="another sentence"),
        pytest.param("password: short", "password: short", id="a short word"),
        pytest.param("Bearer abcdef0123456789 expired", "*** expired", id="a header"),
        pytest.param("https://me:pa55@erp.example/x", "https://***@erp.example/x", id="an address"),
        pytest.param('{"access_token": "abcdefgh1", "n": 1}', '{"access_token": "***", "n": 1}', id="JSON"),
        pytest.param("client_secret=abcdefgh1&n=1", "client_secret=***&n=1", id="a form"),
        pytest.param(r'"{\"id_token\":\"abcdefgh1\"}"', r'"{\"id_token\":\"***\"}"', id="JSON in JSON"),
    ],
)
def test_what_is_replaced_and_what_is_a_sentence(text: str, told: str) -> None:
    assert scrub(text) == told


def test_a_secret_is_kept_out_while_somebody_holds_it_and_until_many_others_went_after_it() -> None:
    one, twin = Secret("canary-of-two-holders"), Secret("canary-of-two-holders")
    del one
    assert scrub("it is canary-of-two-holders") == "it is ***"
    del twin
    # A session that was renewed may still stand in the answer to a call that began before.
    for number in range(RETIRED_MAX):
        assert scrub("it was canary-of-two-holders") == "it was ***"
        Secret(f"canary-{number:04}-of-the-others")
    assert scrub("it was canary-of-two-holders") == "it was canary-of-two-holders"
