"""Slowing down by the headers, before Runn has to refuse."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest
import trio

from isthmus.sdk import Secret, Throttled
from isthmus.sdk.testing import FakeContext
from isthmus_runn.connector import Runn
from isthmus_runn.quota import CLOSED_S, WINDOW_MAX_S, Quota
from isthmus_runn.settings import RunnSettings
from isthmus_runn.simulator import RunnSimulator

WALL = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)


def headers(limit: object, remaining: object, reset: object) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(reset),
    }


def told(limit: object, remaining: object, reset: object, *, now: float = 0.0) -> Quota:
    quota = Quota()
    quota.learn(headers(limit, remaining, reset), now, WALL)
    return quota


@pytest.mark.parametrize(
    ("quota", "due"),
    [
        pytest.param(Quota(), 0.0, id="nothing known: as fast as needed"),
        pytest.param(told(100, 11, 60), 0.0, id="more than a tenth is left"),
        pytest.param(told(100, 0, 42), 42.0, id="nothing left: the window has to end"),
        pytest.param(told(100, 0, WALL.timestamp() + 42), 42.0, id="an end in seconds since 1970"),
        pytest.param(told(100, "?", 42), 0.0, id="no number says nothing"),
        pytest.param(told(100, 0, -5), 0.0, id="a window that is over"),
        pytest.param(told(100, 0, "inf"), 0.0, id="an end that is no time"),
        pytest.param(told(100, 0, 1e8), WINDOW_MAX_S, id="an end in years is not believed"),
    ],
)
def test_when_the_next_call_may_be_made(quota: Quota, due: float) -> None:
    assert quota.due(0.0) == due


def test_the_last_tenth_is_spread_over_the_rest_of_the_window() -> None:
    quota = told(100, 10, 60)
    at, now = [], 0.0
    for _ in range(10):
        now = quota.reserve(now)
        at.append(now)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert at[0] == 0.0
    assert max(gaps) - min(gaps) < 1e-6
    assert at[-1] < 60
    assert quota.due(now) == 60.0


def test_answers_that_overtake_each_other_give_no_calls_back() -> None:
    quota = told(100, 50, 60)
    quota.learn(headers(100, 48, 59), 1.0, WALL)
    quota.learn(headers(100, 49, 59), 1.1, WALL)
    assert quota.remaining == 48


def test_a_new_window_gives_all_calls_back() -> None:
    quota = told(100, 1, 2)
    quota.learn(headers(100, 99, 60), 2.5, WALL)
    assert quota.remaining == 99
    assert quota.due(2.5) == 2.5


@pytest.mark.parametrize(
    ("quota", "retry_after_s", "pause"),
    [
        pytest.param(Quota(), 7.0, 7.0, id="Runn's own word"),
        pytest.param(told(100, 5, 33), None, 33.0, id="else until the window ends"),
        pytest.param(Quota(), None, CLOSED_S, id="else a little"),
    ],
)
def test_rest_after_a_refusal(quota: Quota, retry_after_s: float | None, pause: float) -> None:
    assert quota.refused(0.0, retry_after_s) == pause
    assert quota.due(0.0) == pause


class Counting(httpx.AsyncBaseTransport):
    """The simulator in this process; counts calls and refusals."""

    def __init__(self, simulator: RunnSimulator) -> None:
        self._inner = httpx.ASGITransport(simulator.app())
        self.calls = self.refusals = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        response = await self._inner.handle_async_request(request)
        self.refusals += response.status_code == 429
        return response


async def read_much(simulator: RunnSimulator, transport: Counting, pulls: int) -> float:
    """Pull so often, resting as the daemon rests; returns the seconds it took."""
    context = FakeContext("planner", now=simulator.now, transport=transport)
    known: dict[str, Any] = {**simulator.credentials(), "base_url": "http://runn.test"}
    settings = RunnSettings(token=Secret(known.pop("token")), **known)
    began = trio.current_time()
    async with Runn().open(settings, context) as opened:
        assert opened.source is not None
        for _ in range(pulls):
            while True:
                try:
                    await opened.source.pull("removals", None)
                    break
                except Throttled as error:
                    await trio.sleep(error.retry_after_s or 0)
    return trio.current_time() - began


def turning() -> datetime:
    """Both sides' time, as the test's clock turns it."""
    return datetime.fromtimestamp(WALL.timestamp() + trio.current_time(), UTC)


async def test_a_small_budget_is_kept_without_a_single_429(autojump_clock: object) -> None:
    simulator = RunnSimulator(now=turning)
    simulator.set_rate_limit(60)
    transport = Counting(simulator)
    took_s = await read_much(simulator, transport, 300)
    assert (transport.calls, transport.refusals) == (300, 0)
    assert 240 <= took_s <= 330, "five windows of sixty calls"


async def test_without_the_headers_the_same_reading_is_refused_each_minute(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant beside the guarantee."""
    monkeypatch.setattr(Quota, "learn", lambda *told: None)
    simulator = RunnSimulator(now=turning)
    simulator.set_rate_limit(60)
    transport = Counting(simulator)
    await read_much(simulator, transport, 300)
    assert transport.refusals > 0


async def test_calls_of_another_client_are_seen(autojump_clock: object) -> None:
    """The budget is the account's; what others spend is missing from what is left."""
    simulator = RunnSimulator(now=turning)
    simulator.set_rate_limit(60)
    transport = Counting(simulator)
    await read_much(simulator, transport, 1)
    simulator.memory["rate"]["used"] = 60
    await read_much(simulator, transport, 2)
    assert transport.refusals <= 1
