"""What an answer, half an answer or none becomes: sizes, deadlines, doubt, delays."""

import gzip
import time
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

import pytest
import trio

from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Retryable, Throttled, Unsure
from isthmus.sdk.http import HttpLimits, Reply, fate_of, open_http
from tests.sdk.wire import Answer, Stream, peer, reply, says

HEAD = b"HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n"
QUICK = HttpLimits(deadline_s=0.3)


def squeezed(size: int) -> bytes:
    return reply(200, gzip.compress(b"0" * size), content_encoding="gzip")


SMALL = HttpLimits(max_body_bytes=2_000_000)


@pytest.mark.parametrize(
    ("answer", "limits", "fate", "words"),
    [
        pytest.param(
            squeezed(8_000_000), HttpLimits(), Rejected, "inflates more than 100 times", id="gzip of zeros"
        ),
        pytest.param(squeezed(40_000_000), SMALL, Rejected, "larger than 2000000", id="gzip of 40 MB"),
        pytest.param(reply(200, b"x" * 3_000_000), SMALL, Rejected, "larger than 2000000", id="3 MB plain"),
        pytest.param(reply(200, b"x", content_encoding="gzip"), SMALL, Retryable, "ends early", id="no gzip"),
        pytest.param(
            reply(200, gzip.compress(b"{}" * 50)[:-9], content_encoding="gzip"),
            SMALL,
            Retryable,
            "ends early",
            id="half a gzip",
        ),
        pytest.param(
            reply(200, b"x", content_encoding="br"), SMALL, Retryable, "asked for", id="not asked for"
        ),
    ],
)
async def test_a_body_past_its_limits_is_refused_early(
    answer: bytes, limits: HttpLimits, fate: type[ConnectorError], words: str
) -> None:
    began = time.perf_counter()
    async with peer(says(answer)) as origin, open_http(origin.url, limits=limits) as http:
        with pytest.raises(fate, match=words):
            await http.get("bomb")
    assert time.perf_counter() - began < 2


async def test_a_large_body_within_the_limits_is_read() -> None:
    body = gzip.compress(b"".join(b"%d," % n for n in range(400_000)))
    async with peer(says(reply(200, body, content_encoding="gzip"))) as origin, open_http(origin.url) as http:
        assert len((await http.get("large")).body) > 2_000_000


async def test_a_bomb_after_a_write_leaves_doubt() -> None:
    async with peer(says(squeezed(8_000_000))) as origin, open_http(origin.url) as http:
        with pytest.raises(Unsure):
            await http.post("items", json={})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="a proxy's page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 200_000, id="nested too deep"),
        pytest.param(b'{"a": "\xff"}', id="no UTF-8"),
    ],
)
def test_a_body_that_is_no_json_is_a_passing_fault(body: bytes) -> None:
    with pytest.raises(Retryable, match="is not the JSON"):
        Reply(status=200, headers={}, body=body).json()


def test_money_never_passes_a_float() -> None:
    body = b'{"amount": 0.10, "exact": 1234567890123456.78, "count": 3}'
    assert Reply(status=200, headers={}, body=body).json() == {
        "amount": "0.10",
        "exact": "1234567890123456.78",
        "count": 3,
    }


BROKEN: list[tuple[str, Answer]] = [
    ("nothing at all", says(then_close=True)),
    ("half a head", says(b"HTTP/1.1 200 X\r\nconte", then_close=True)),
    ("half a body", says(HEAD + b"{", then_close=True)),
    ("no HTTP", says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", then_close=True)),
    ("a drip that never ends", says(HEAD, *[b"x"] * 200, pause_s=0.05)),
    ("a head that never ends", says(*[b"HTTP/1.1 200 X\r\n", *[b"a: b\r\n"] * 100], pause_s=0.05)),
    ("silence", says(b"", pause_s=30)),
]


@pytest.mark.parametrize("answer", [pytest.param(answer, id=name) for name, answer in BROKEN])
async def test_a_write_without_a_whole_answer_leaves_doubt_and_a_read_does_not(answer: Answer) -> None:
    async with peer(answer) as origin, open_http(origin.url, limits=QUICK) as http:
        with pytest.raises(Unsure), trio.fail_after(2):
            await http.post("items", json={"n": 1})
        with pytest.raises(Retryable) as read, trio.fail_after(2):
            await http.get("items")
        assert not isinstance(read.value, Unsure)
        with pytest.raises(Retryable) as search, trio.fail_after(2):
            await http.post("search", json={"q": 1}, write=False)
        assert not isinstance(search.value, Unsure)
        assert len(origin.heard) == 3, "nothing is sent twice behind the caller's back"


async def test_a_refused_connection_leaves_no_doubt() -> None:
    async with open_http("http://127.0.0.1:9") as http:
        with pytest.raises(Retryable, match="no connection") as refused:
            await http.post("items", json={})
    assert not isinstance(refused.value, Unsure)


async def test_a_write_that_waited_too_long_for_its_turn_leaves_no_doubt() -> None:
    limits = HttpLimits(deadline_s=0.3, concurrency=1)
    outcomes: list[str] = []

    async with peer(says(b"", pause_s=30)) as origin, open_http(origin.url, limits=limits) as http:

        async def write() -> None:
            try:
                await http.post("items", json={})
            except ConnectorError as error:
                outcomes.append(type(error).__name__)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            nursery.start_soon(write)
        assert (sorted(outcomes), len(origin.heard)) == (["Retryable", "Unsure"], 1)


async def test_a_rate_spaces_the_calls() -> None:
    limits = HttpLimits(per_second=20)
    async with peer(says(reply())) as origin, open_http(origin.url, limits=limits) as http:
        began = trio.current_time()
        for _ in range(5):
            await http.get("items")
        assert trio.current_time() - began >= 0.19


async def test_never_more_calls_at_once_than_agreed() -> None:
    at_once = most = 0

    async def slow(stream: Stream, request: bytes) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await trio.sleep(0.02)
        at_once -= 1
        await stream.send_all(reply())

    async with (
        peer(slow) as origin,
        open_http(origin.url, limits=HttpLimits(concurrency=3)) as http,
    ):
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(http.get, "items")
        assert len(origin.heard) == 12
    assert most == 3


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        pytest.param(429, "7", 7.0, id="whole seconds"),
        pytest.param(429, "0", 0.0, id="zero"),
        pytest.param(429, "1.5", 1.5, id="a fraction"),
        pytest.param(429, "-3", 0.0, id="below zero counts as now"),
        pytest.param(429, "Mon, 05 Oct 2026 09:00:30 GMT", 30.0, id="a date"),
        pytest.param(429, "Mon, 05 Oct 2026 08:00:00 GMT", 0.0, id="a date gone by"),
        pytest.param(429, "Mon, 05 Oct 2026 11:00:30 +0200", 30.0, id="a date with an offset"),
        pytest.param(429, "Mon, 05 Oct 2026 09:00:30", None, id="a date of nowhere"),
        pytest.param(429, "soon", None, id="a word"),
        pytest.param(429, "", None, id="nothing in it"),
        pytest.param(429, None, None, id="no header"),
        pytest.param(429, "nan", None, id="not a number"),
        pytest.param(429, "inf", None, id="for ever"),
        pytest.param(429, "1e12", 86400.0, id="thousands of years are a day"),
        pytest.param(503, "2", 2.0, id="503 with a delay"),
    ],
)
async def test_a_throttle_names_its_delay(
    status: int, header: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fixed(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Fixed":
            return cls(2026, 10, 5, 9, 0, tzinfo=UTC)

    monkeypatch.setattr("isthmus.sdk.reply.datetime", Fixed)
    headers = {} if header is None else {"retry_after": header}
    async with peer(says(reply(status, b"slow down", **headers))) as origin, open_http(origin.url) as http:
        with pytest.raises(Throttled) as throttled:
            await http.post("items", json={})
    assert throttled.value.peer_words == "slow down"
    assert throttled.value.retry_after_s == seconds


async def test_503_without_a_delay_is_left_to_the_connector() -> None:
    async with peer(says(reply(503))) as origin, open_http(origin.url) as http:
        assert (await http.get("items")).status == 503


@pytest.mark.parametrize(
    ("status", "write", "fate"),
    [
        pytest.param(401, True, Fatal, id="401"),
        pytest.param(403, False, Fatal, id="403"),
        pytest.param(400, True, Rejected, id="400"),
        pytest.param(404, False, Rejected, id="404"),
        pytest.param(408, True, Retryable, id="408: the peer gave up waiting"),
        pytest.param(500, False, Retryable, id="500 to a read"),
        pytest.param(500, True, Unsure, id="500 to a write"),
        pytest.param(502, True, Unsure, id="502 to a write"),
        pytest.param(503, True, Retryable, id="503 to a write: it did not begin"),
        pytest.param(504, True, Unsure, id="504 to a write"),
        pytest.param(302, False, Fatal, id="a redirect: the base URL is wrong"),
    ],
)
def test_fate_of_what_the_vendor_does_not_name(status: int, write: bool, fate: type[ConnectorError]) -> None:
    error = fate_of(Reply(status=status, headers={}, body=b"because"), write=write)
    assert type(error) is fate


async def test_each_call_is_observed_once_with_its_outcome() -> None:
    seen: list[tuple[str, str]] = []

    def observe(method: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((method, outcome))

    async with peer(says(reply())) as origin, open_http(origin.url, observe=observe) as http:
        await http.get("items")
    async with peer(says(then_close=True)) as origin, open_http(origin.url, observe=observe) as http:
        with pytest.raises(Unsure):
            await http.post("items")
    async with peer(says(reply(429))) as origin, open_http(origin.url, observe=observe) as http:
        with pytest.raises(Throttled):
            await http.get("items")
    assert seen == [("GET", "ok"), ("POST", "unsure"), ("GET", "throttled")]


async def test_decimals_are_sent_as_strings_and_forms_as_forms() -> None:
    async with peer(says(reply())) as origin, open_http(origin.url) as http:
        await http.post("items", json={"amount": Decimal("0.10")})
        await http.post("token", form={"grant_type": "x y"})
    assert origin.heard[0].endswith(b'{"amount":"0.10"}')
    assert origin.heard[1].endswith(b"grant_type=x+y")
