"""A lane looks at the store when there may be something to find, and not after every call."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import trio

from isthmus.delivery import actor
from isthmus.sdk.errors import Retryable
from isthmus.store.face import Store, Tx
from tests.delivery.fakes import FakeSink
from tests.delivery.given import Road, SlowReads, a_lane, event_id, fact

T = TypeVar("T")


class CountedReads(SlowReads):
    """A store that counts what is read from it."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, 0.0)
        self.reads = 0

    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        self.reads += 1
        return await super().read(unit, limit_s=limit_s)


async def test_a_long_queue_that_goes_well_is_delivered_with_a_handful_of_looks(store: Store) -> None:
    counted, sink = CountedReads(store), FakeSink()
    road = Road(counted)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1", n) for n in range(1, 201)])
        await trio.sleep(60)
    assert sink.sent() == [event_id("c1", n) for n in range(1, 201)]
    assert counted.reads <= 5


async def longer_than_the_window(road: Road) -> int:
    """How many of 100 facts arrive that come with one ring, in a lane that holds 10 of them at a time."""
    sink = FakeSink()
    async with road.at_work(sink, a_lane(window=10)):
        await road.tell([fact(f"c{n % 7}", n) for n in range(1, 101)])
        await trio.sleep(3600)
    return len((await road.stands()).receipts)


async def behind_a_failure(road: Road) -> int:
    """How many of three facts of a subject arrive within two minutes when the first fails once."""
    sink = FakeSink()
    sink.goes_wrong("c1", Retryable("503"))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1", n) for n in (1, 2, 3)])
        await trio.sleep(120)
    return len((await road.stands()).receipts)


async def test_a_log_longer_than_the_window_is_read_to_its_end(road: Road) -> None:
    assert await longer_than_the_window(road) == 100


async def test_what_stood_behind_a_failure_follows_when_that_has_arrived(road: Road) -> None:
    assert await behind_a_failure(road) == 3


async def test_the_tests_find_a_lane_that_never_looks_again(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor.LaneActor, "_worth_a_look", lambda self: False)
    assert await longer_than_the_window(road) < 100


async def test_the_tests_find_a_lane_that_takes_a_row_for_nothing(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "_with_rows", lambda group, outcomes: set())
    assert await behind_a_failure(road) < 3
