"""How long to wait before the next try, and waiting out what passes by itself."""

import logging
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from isthmus.runtime.backoff import delay_s
from isthmus.runtime.patience import wait_out


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [
        pytest.param(1, 5.0, id="first_s at first"),
        pytest.param(2, 10.0, id="then double"),
        pytest.param(8, 640.0, id="and double again"),
        pytest.param(9, 900.0, id="up to max_s"),
        pytest.param(100_000, 900.0, id="for ever"),
    ],
)
def test_delays_double_up_to_the_longest(attempts: int, wait: float) -> None:
    assert delay_s(attempts, 5.0, 900.0, jitter=lambda: 1.0) == wait
    assert delay_s(attempts, 5.0, 900.0, jitter=lambda: 0.0) == wait / 2


@given(
    attempts=st.integers(1, 10**6),
    first_s=st.floats(0.001, 60.0),
    max_s=st.floats(60.0, 86_400.0),
    draws=st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=2, max_size=2),
)
def test_no_delay_is_longer_than_the_longest_or_shorter_than_half_the_first(
    attempts: int, first_s: float, max_s: float, draws: list[float]
) -> None:
    one, other = (delay_s(attempts, first_s, max_s, jitter=partial(float, drawn)) for drawn in draws)
    assert first_s / 2 <= one <= max_s
    assert one / 2 <= other <= 2 * one, "the draw decides about half of it at most"
    assert delay_s(attempts + 1, first_s, max_s, jitter=lambda: draws[0]) >= one


def test_many_that_failed_together_do_not_come_back_together() -> None:
    waits = sorted(delay_s(1, 60.0, 900.0) for _ in range(1000))
    assert waits[0] >= 30 and waits[-1] <= 60
    busiest = max(sum(low <= wait < low + 3 for wait in waits) for low in range(30, 60, 3))
    assert busiest < 200, "a tenth of the time brings about a tenth of them"


async def test_what_passes_is_waited_out_and_said_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    tries = 0

    async def work() -> str:
        nonlocal tries
        tries += 1
        await trio.lowlevel.checkpoint()
        if tries < 50:
            raise OSError("full")
        return "done"

    assert await wait_out(OSError, work, pause_s=3.0) == "done"
    assert trio.current_time() == pytest.approx(49 * 3.0)
    assert [record.message for record in caplog.records] == ["work.waits", "work.goes_on"]


async def test_what_does_not_pass_is_raised(autojump_clock: MockClock) -> None:
    async def work() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("bug")

    with pytest.raises(ValueError, match="bug"):
        await wait_out(OSError, work)
