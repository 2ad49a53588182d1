"""When a stream is pulled, how long it rests after trouble, and what stops it."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import trio

from isthmus.ingest.actor import FULL_PAUSE_S, RECHECK_S
from isthmus.sdk.connector import Page
from isthmus.sdk.errors import Fatal, Retryable, Throttled, Unsure
from isthmus.store import cursors
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store, Tx
from tests.ingest.given import INSTANCE, POLL_S, START, STREAM, Told, cursor, ids, now, page, reading, time
from tests.process.dying import DyingStore

T = TypeVar("T")
BACK = cursors.Mark(START, b"1")


async def test_a_stream_is_pulled_at_once_and_then_every_poll_interval(store: Store) -> None:
    source = Told(page(time("e1"), to="1"), page(time("e2"), to="2"))
    async with reading(source, store) as at_work:
        await trio.sleep(2 * POLL_S + 1)
    assert source.asked_at == [0.0, POLL_S, 2 * POLL_S]
    assert source.asked_with == [None, b"1", b"2"]
    assert at_work.announced == 2, "only news is announced"


async def test_reading_goes_on_at_the_kept_cursor(store: Store) -> None:
    async with reading(Told(page(time("e1"), to="1")), store):
        await trio.sleep(1)
    again = Told()
    async with reading(again, store):
        await trio.sleep(1)
    assert again.asked_with == [b"1"]


async def test_pages_with_more_behind_them_are_pulled_without_a_pause(store: Store) -> None:
    backfill = [page(time(f"e{n}"), to=str(n), more=n < 50) for n in range(1, 51)]
    source = Told(*backfill)
    async with reading(source, store):
        await trio.sleep(POLL_S - 1)
    assert source.pauses == [0.0] * 49
    assert len(await ids(store)) == 50


async def test_a_source_that_leads_in_a_circle_is_noticed_and_polled_as_usual(store: Store) -> None:
    class Circle(Told):
        async def pull(self, stream: str, cursor: bytes | None) -> Page:
            await super().pull(stream, cursor)
            return page(to=str((int(cursor or b"0") + 1) % 7), more=True)

    source = Circle()
    async with reading(source, store) as at_work:
        await trio.sleep(POLL_S - 1)
        assert len(source.asked_at) <= 3 * 7
        assert at_work.watch.failures == ["the source leads in a circle of pages; the poll ends here"]
        await trio.sleep(2)
        assert max(source.pauses) == POLL_S


async def test_the_bell_pulls_at_once_and_the_next_poll_counts_from_there(store: Store) -> None:
    source = Told()
    async with reading(source, store) as at_work:
        await trio.sleep(10)
        at_work.bell.ring()
        await trio.sleep(POLL_S + 1)
    assert source.asked_at == [0.0, 10.0, 10.0 + POLL_S]


async def test_a_ring_during_a_pull_is_not_lost(store: Store) -> None:
    source = Told(takes_s=5.0)
    async with reading(source, store) as at_work:
        await trio.sleep(1)
        at_work.bell.ring()
        await trio.sleep(10)
    assert source.asked_at[:2] == [0.0, 5.0]


@pytest.mark.parametrize(
    ("error", "rests_s"),
    [
        pytest.param(Throttled("429", retry_after_s=17.0), 17.0, id="as long as the peer asked"),
        pytest.param(Throttled("429"), POLL_S, id="one poll interval where it named no time"),
        pytest.param(Throttled("429", retry_after_s=900.0), 900.0, id="longer than the poll interval"),
    ],
)
async def test_a_throttle_rests_the_stream_and_its_connector(
    store: Store, error: Throttled, rests_s: float
) -> None:
    source = Told(error)
    async with reading(source, store) as at_work:
        await trio.sleep(rests_s + 1)
    assert source.pauses == [rests_s]
    assert at_work.rests == [rests_s]


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(lambda: Retryable("502"), id="a peer that is down"),
        pytest.param(lambda: Unsure("no answer"), id="a broken connection"),
        pytest.param(lambda: trio.TooSlowError(), id="a deadline of the connector's own"),
    ],
)
async def test_pauses_after_failures_grow_to_five_minutes_and_no_further(
    store: Store, failure: Callable[[], Exception]
) -> None:
    source = Told(*[failure() for _ in range(14)])
    async with reading(source, store) as at_work:
        await trio.sleep(3600)
    assert len(at_work.watch.failures) == 14
    for tries, pause in enumerate(source.pauses[:14]):
        whole = min(300.0, 2.0**tries)
        assert whole / 2 <= pause <= whole
    assert source.pauses[14] == POLL_S, "one answer ends it"


async def test_an_answer_between_failures_begins_the_pauses_anew(store: Store) -> None:
    trouble = [Retryable("502") for _ in range(6)]
    source = Told(*trouble, page(time("e1"), to="1"), Retryable("502"))
    async with reading(source, store):
        await trio.sleep(600)
    assert source.pauses[5] >= 16.0
    assert source.pauses[7] <= 1.0
    assert await ids(store) == ["psa/time.approved/e1/1"]


async def test_a_stream_polled_often_is_tried_again_sooner(store: Store) -> None:
    source = Told(Retryable("502"))
    async with reading(source, store, poll_s=0.1):
        await trio.sleep(1)
    assert source.pauses[0] <= 0.1


async def test_a_pull_that_hangs_is_cut_off_and_counts_as_a_failure(store: Store) -> None:
    source = Told(takes_s=1e6)
    async with reading(source, store, pull_timeout_s=30.0) as at_work:
        await trio.sleep(40)
    assert len(at_work.watch.failures) == 1
    assert 30.5 <= source.asked_at[1] <= 31.0


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Fatal("the key was revoked"), id="what a person must mend"),
        pytest.param(KeyError("hours"), id="a bug"),
    ],
)
async def test_what_waiting_does_not_mend_goes_to_the_supervisor(store: Store, error: Exception) -> None:
    with trio.fail_after(5), pytest.RaisesGroup(type(error)):
        async with reading(Told(error), store):
            await trio.sleep_forever()


class FullStore(DyingStore):
    """Its disk is full for the first ``times`` writes."""

    def __init__(self, inner: Store, times: int) -> None:
        super().__init__(inner)
        self._times = times

    async def write(self, unit: Callable[[Tx], T]) -> T:
        if self.writes < self._times:
            self.writes += 1
            raise StoreFull("no space")
        return await super().write(unit)


async def test_a_full_disk_pauses_reading_and_the_page_is_pulled_again(store: Store) -> None:
    told = page(time("e1"), to="1")
    source = Told(told, told, told)
    async with reading(source, FullStore(store, 2)) as at_work:
        await trio.sleep(2 * FULL_PAUSE_S + 1)
    assert source.asked_with == [None, None, None]
    assert source.pauses == [FULL_PAUSE_S, FULL_PAUSE_S]
    assert at_work.watch.failures == ["no space"] * 2
    assert (await ids(store), await cursor(store)) == (["psa/time.approved/e1/1"], b"1")


async def test_a_lane_past_its_quota_stops_reading_until_there_is_room(store: Store) -> None:
    source = Told()
    async with reading(source, store) as at_work:
        await trio.sleep(1)
        at_work.may_read = False
        await trio.sleep(10 * POLL_S)
        assert len(source.asked_at) == 1
        at_work.may_read = True
        await trio.sleep(RECHECK_S)
        assert len(source.asked_at) == 2


async def test_the_bell_does_not_open_a_stream_that_may_not_be_read(store: Store) -> None:
    source = Told()
    async with reading(source, store) as at_work:
        at_work.may_read = False
        await trio.sleep(1)
        at_work.bell.ring()
        await trio.sleep(1)
    assert source.asked_at == []


async def test_a_pull_that_is_cancelled_leaves_the_cursor_where_it_was(store: Store) -> None:
    slow = Told(page(time("e1"), to="1"), page(time("e2"), to="2"), takes_s=5.0)
    async with reading(slow, store):
        await trio.sleep(5 + POLL_S + 4)
    assert slow.asked_with == [None, b"1"]
    assert (await ids(store), await cursor(store)) == (["psa/time.approved/e1/1"], b"1")


async def test_a_page_in_hand_is_recorded_although_reading_was_cancelled(store: Store) -> None:
    class SlowToWrite(DyingStore):
        async def write(self, unit: Callable[[Tx], T]) -> T:
            await trio.sleep(3)
            return await super().write(unit)

    async with reading(Told(page(time("e1"), to="1")), SlowToWrite(store)):
        await trio.sleep(1)
    assert (await ids(store), await cursor(store)) == (["psa/time.approved/e1/1"], b"1")


async def test_a_stream_that_is_sent_back_reads_on_from_there(store: Store) -> None:
    source = Told(page(time("e1"), to="1"), page(time("e2"), to="2"), page(to="2"), page(time("e2"), to="2"))
    async with reading(source, store):
        await trio.sleep(2 * POLL_S + 1)
        await store.write(lambda tx: cursors.go_back(tx, INSTANCE, STREAM, BACK, now()))
        await trio.sleep(POLL_S)
    assert source.asked_with == [None, b"1", b"2", b"1"]
    assert await ids(store) == ["psa/time.approved/e1/1", "psa/time.approved/e2/1"], "known facts are dropped"


async def test_a_page_on_its_way_while_its_stream_is_sent_back_is_dropped_and_read_again(
    store: Store,
) -> None:
    """Else it would put the cursor where the person has just taken it away from."""

    class Slow(Told):
        async def pull(self, stream: str, cursor: bytes | None) -> Page:
            told = await super().pull(stream, cursor)
            if len(self.asked_with) == 3:
                await store.write(lambda tx: cursors.go_back(tx, INSTANCE, STREAM, BACK, now()))
            return told

    source = Slow(page(time("e1"), to="1"), page(time("e2"), to="2"), page(time("e3"), to="3"), page(to="2"))
    async with reading(source, store):
        await trio.sleep(2 * POLL_S + 1)
    assert source.asked_with == [None, b"1", b"2", b"1"]
    assert await ids(store) == ["psa/time.approved/e1/1", "psa/time.approved/e2/1"]
    assert await cursor(store) == b"2"
