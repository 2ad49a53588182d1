"""Sinks that take several deliveries in one call, lanes that fold, and lanes that send nothing."""

import pytest
import trio

from isthmus.sdk.connector import DeliveryClass
from isthmus.sdk.errors import Rejected, Retryable, Throttled
from isthmus.store import shadows
from isthmus.store.face import Store
from tests.delivery.fakes import FakeSink, Gives, Lost
from tests.delivery.given import LANE, Road, a_lane, event_id, fact, now


async def test_a_batch_holds_different_subjects_in_order_up_to_batch_max(road: Road) -> None:
    sink = FakeSink(batch_max=4, concurrency=2)
    await road.tell([fact(f"c{n}", revision) for revision in (1, 2) for n in range(10)])
    async with road.at_work(sink, a_lane()):
        await trio.sleep(60)
    assert max(len(batch) for batch in sink.batches) == 4
    assert sink.overlaps == []
    assert len((await road.stands()).receipts) == 20
    for n in range(10):
        assert sink.sent(f"c{n}") == [event_id(f"c{n}", 1), event_id(f"c{n}", 2)]
    assert len(sink.batches) < 10


async def test_each_row_of_a_batch_has_its_own_fate(road: Road) -> None:
    sink = FakeSink(batch_max=10, concurrency=1)
    sink.goes_wrong("c1", Rejected("no"))
    sink.goes_wrong("c2", Retryable("row is locked"))
    sink.goes_wrong("c3", Lost())
    await road.tell([fact(f"c{n}") for n in range(6)])
    async with road.at_work(sink, a_lane()):
        await trio.sleep(60)
    stand = await road.stands()
    assert sorted(stand.receipts) == [event_id(f"c{n}") for n in (0, 2, 3, 4, 5)]
    assert [letter.subject for letter in stand.letters] == ["c1"]
    assert sink.remote.doubled() == 0


async def test_of_class_b_what_a_lost_batch_held_is_looked_up_one_by_one(road: Road) -> None:
    sink = FakeSink(DeliveryClass.B, batch_max=10, concurrency=1)
    for n in range(6):
        sink.goes_wrong(f"c{n}", Lost(commit_after_s=1.0))
    await road.tell([fact(f"c{n}") for n in range(6)])
    async with road.at_work(sink, a_lane()):
        await trio.sleep(120)
    stand = await road.stands()
    assert len(stand.receipts) == 6 and len(sink.finds) == 6
    assert len(sink.batches) == 1 and sink.remote.doubled() == 0


async def test_one_poison_row_that_breaks_the_code_does_not_bury_its_batch(road: Road) -> None:
    """After the first crash each goes alone; only the poison one breaks the code again."""
    sink = FakeSink(batch_max=10, concurrency=1)
    sink.goes_wrong("c3", *[KeyError("amount")] * 10)
    await road.tell([fact(f"c{n}") for n in range(8)])
    async with road.at_work(sink, a_lane()):
        await trio.sleep(600)
    stand = await road.stands()
    assert [letter.subject for letter in stand.letters] == ["c3"]
    assert len(stand.receipts) == 7
    assert sink.remote.doubled() == 0


@pytest.mark.parametrize(
    "outcomes",
    [pytest.param([], id="none"), pytest.param(["x"] * 9, id="more than there were deliveries")],
)
async def test_a_wrong_number_of_outcomes_is_no_success(store: Store, outcomes: list[str]) -> None:
    class Miscounts(FakeSink):
        async def deliver_many(self, deliveries: object) -> list[object]:  # type: ignore[override]
            await trio.lowlevel.checkpoint()
            return list(outcomes)

    road = Road(store)
    await road.tell([fact("c1"), fact("c2")])
    async with road.at_work(Miscounts(batch_max=5), a_lane()):
        await trio.sleep(600)
    stand = await road.stands()
    assert stand.receipts == {} and len(stand.letters) == 2


async def test_an_analytical_lane_says_the_newest_and_names_what_it_folded(road: Road) -> None:
    sink = FakeSink(latency_s=0.01)
    lane = a_lane(mode="analytical", lag_window_s=60.0)
    async with road.at_work(sink, lane):
        began = trio.current_time()
        for n in range(1, 6):
            await road.tell([fact("c1", n)])
            await trio.sleep(10)
        await road.tell([fact("c2", 1)])
        await trio.sleep(600)
    assert sink.sent() == [event_id("c1", 5), event_id("c2", 1)]
    assert 60 <= sink.calls[0].at - began < 62, "when the oldest is as old as the lag window"
    stand = await road.stands()
    folded = [event_id("c1", n) for n in range(1, 5)]
    assert {stand.receipts[each] for each in folded} == {"folded"}
    assert {stand.details[each] for each in folded} == {f"{event_id('c1', 5)} goes instead"}
    assert stand.rows == {} and len(stand.receipts) == 6


async def test_what_was_folded_survives_a_throttle_in_the_same_batch(road: Road) -> None:
    """Of one batch a subject is done and another must wait: neither loses its folded facts."""
    sink = FakeSink(batch_max=10, latency_s=0.01)
    sink.goes_wrong("c2", Throttled("429", retry_after_s=100))
    await road.tell([fact(subject, n) for n in (1, 2, 3) for subject in ("c1", "c2")])
    async with road.at_work(sink, a_lane(mode="analytical", lag_window_s=5.0)):
        await trio.sleep(50)
        await road.tell([fact("c2", 4)])
        await trio.sleep(600)
    stand = await road.stands()
    assert len(stand.receipts) == 7
    assert stand.position == stand.head == 7
    newest = {record.subject: record.event_id for record in sink.remote.records()}
    assert newest == {"c1": event_id("c1", 3), "c2": event_id("c2", 4)}


async def test_an_analytical_fact_that_is_refused_is_a_work_item(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", Rejected("no"))
    await road.tell([fact("c1", 1), fact("c1", 2)])
    async with road.at_work(sink, a_lane(mode="analytical", lag_window_s=5.0)):
        await trio.sleep(60)
    stand = await road.stands()
    assert [letter.payload_place for letter in stand.letters] == [event_id("c1", 2)]
    assert stand.receipts == {event_id("c1", 1): "folded"}


async def test_shadow_records_what_would_have_gone_and_sends_nothing(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", Gives(None))
    async with road.at_work(sink, a_lane(stage="shadow")):
        await road.tell([fact(f"c{n}", revision) for revision in (1, 2) for n in range(10)])
        await trio.sleep(60)
    stand = await road.stands()
    assert sink.calls == [] and sink.remote.records() == []
    assert stand.receipts == {} and stand.rows == {}, "nobody has it, so there is no proof"
    assert await road.store.read(lambda tx: shadows.open_count(tx, LANE)) == 20
    assert stand.unfinished == 0


async def test_a_lane_with_open_shadows_does_not_start_live(road: Road) -> None:
    """It would send beside what another integration wrote; it is parked until somebody has compared."""
    async with road.at_work(FakeSink(), a_lane(stage="shadow")):
        await road.tell([fact("c1")])
        await trio.sleep(10)
    sink = FakeSink()
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c2")])
        await trio.sleep(10)
        assert "'isthmus lane go-live erp.customers --dry-run'" in road.parking.reasons[LANE]
        await road.store.write(lambda tx: shadows.end(tx, LANE, 1, "adopted"))
        road.parking.resume(LANE)
        await trio.sleep(10)
    assert sink.sent() == [event_id("c2")]


async def test_a_shadow_that_was_interrupted_reads_nothing_twice(road: Road) -> None:
    """What was decided beyond the position is known after a restart, and an older fact that waits is not."""
    await road.tell([fact("c1"), fact("c2")])
    await road.store.write(lambda tx: shadows.add_many(tx, LANE, [2], now()))
    async with road.at_work(FakeSink(), a_lane(stage="shadow")):
        await trio.sleep(10)
    assert await road.store.read(lambda tx: shadows.open_count(tx, LANE)) == 2
    assert (await road.stands()).position == 2


async def test_what_waited_from_a_time_when_the_lane_was_live_waits_in_shadow(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", *[Retryable("502")] * 3)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1", 1), fact("c1", 2)])
        await trio.sleep(2)
    assert len((await road.stands()).rows) == 2
    async with road.at_work(FakeSink(), a_lane(stage="shadow")):
        await trio.sleep(60)
    stand = await road.stands()
    assert stand.rows == {} and stand.receipts == {}
    assert await road.store.read(lambda tx: shadows.open_count(tx, LANE)) == 2


async def test_an_analytical_shadow_folds_as_it_would_live(road: Road) -> None:
    async with road.at_work(FakeSink(), a_lane(stage="shadow", mode="analytical", lag_window_s=5.0)):
        await road.tell([fact("c1", n) for n in (1, 2, 3)])
        await trio.sleep(60)
    stand = await road.stands()
    assert stand.receipts == {event_id("c1", 1): "folded", event_id("c1", 2): "folded"}
    assert await road.store.read(lambda tx: shadows.open_page(tx, LANE, 0, 10)) == [3]
