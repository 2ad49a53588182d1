"""Recorded answers: what fits which request, and in which order they are used."""

import msgspec
import pytest

from isthmus.sdk import Fatal
from isthmus.sdk.testing.fixture import Fixture, Recorded

EXCHANGES = b"""[
  {"request": {"path": "/items", "query": {"page": "1"}}, "answer": {"body": [1]}},
  {"request": {"path": "/items", "query": {"page": "2"}}, "answer": {"body": [2]}},
  {"request": {"path": "/token", "method": "POST", "contains": "jwt"}, "answer": {"body": {"token": "a"}}},
  {"request": {"path": "/token", "method": "POST"}, "answer": {"status": 401, "text": "who are you"}},
  {"request": {"path": "/slow"}, "answer": {"status": 503, "headers": {"Retry-After": "7"}}},
  {"request": {"path": "/slow"}, "answer": {"body": "done"}}
]"""


@pytest.fixture
def recorded() -> Recorded:
    return Recorded(msgspec.json.decode(b'{"exchanges": ' + EXCHANGES + b"}", type=Fixture).exchanges)


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "content"),
    [
        pytest.param("GET", "https://x/items?page=2&size=9", b"", 200, b"[2]", id="by its query"),
        pytest.param("POST", "https://x/token", b"grant=jwt", 200, b'{"token": "a"}', id="by its body"),
        pytest.param("POST", "https://y/token", b"grant=x", 401, b"who are you", id="else by its path"),
    ],
)
def test_an_answer_is_found(
    recorded: Recorded, method: str, url: str, body: bytes, status: int, content: bytes
) -> None:
    reply = recorded(method, url, body)
    assert (reply.status, reply.body) == (status, content)


def test_several_that_fit_are_used_in_order_and_the_last_one_stays(recorded: Recorded) -> None:
    replies = [recorded("GET", "https://x/slow", b"") for _ in range(3)]
    assert [reply.status for reply in replies] == [503, 200, 200]
    assert replies[0].headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("method", "url"),
    [
        pytest.param("GET", "https://x/items?page=3", id="another query"),
        pytest.param("DELETE", "https://x/items?page=1", id="another method"),
        pytest.param("GET", "https://x/items/7", id="another path"),
    ],
)
def test_what_was_not_recorded_is_named(recorded: Recorded, method: str, url: str) -> None:
    with pytest.raises(Fatal, match="no answer to " + method):
        recorded(method, url, b"")
    assert recorded.asked == [f"{method} {url.removeprefix('https://x')}"]
