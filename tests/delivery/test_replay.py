"""What a person does afterwards: retries in order, and replays under the same keys."""

import pytest
import trio

from isthmus.sdk.connector import DeliveryClass
from isthmus.sdk.errors import Rejected
from isthmus.store import deliveries, log
from isthmus.store.face import Tx
from tests.delivery.fakes import FakeSink
from tests.delivery.given import LANE, Road, a_lane, event_id, fact, now


async def replay(road: Road, *event_ids: str) -> None:
    """What `event replay` does."""
    at = now()

    def unit(tx: Tx) -> None:
        for each in event_ids:
            row = log.by_id(tx, each)
            assert row is not None
            deliveries.schedule(tx, LANE, row.seq, row.subject, at)

    await road.store.write(unit)
    road.bells.ring_all()


async def test_with_hold_on_dead_a_retry_lets_the_whole_subject_go_in_order(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", Rejected("period closed"))
    async with road.at_work(sink, a_lane(hold_on_dead=True)):
        await road.tell([fact("c1", 1), fact("c1", 2)])
        await trio.sleep(10)
        await road.tell([fact("c1", 3), fact("c2")])
        await trio.sleep(10)
        assert sorted((await road.stands()).receipts) == [event_id("c2")]
        await road.retry_all()
        await trio.sleep(10)
    delivered = [record.event_id for record in sink.remote.records() if record.subject == "c1"]
    assert delivered == [event_id("c1", n) for n in (1, 2, 3)]
    assert (await road.stands()).rows == {}


async def test_ten_dead_letters_of_one_cause_are_delivered_in_order_once_it_is_mended(road: Road) -> None:
    sink = FakeSink()
    for n in range(5):
        sink.goes_wrong(f"c{n}", Rejected("closed"), Rejected("closed"))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact(f"c{n}", revision) for revision in (1, 2) for n in range(5)])
        await trio.sleep(60)
        assert len((await road.stands()).letters) == 10
        await road.retry_all()
        await trio.sleep(60)
    stand = await road.stands()
    assert {letter.state for letter in stand.letters} == {"resolved"} and len(stand.receipts) == 10
    for n in range(5):
        delivered = [record.event_id for record in sink.remote.records() if record.subject == f"c{n}"]
        assert delivered == [event_id(f"c{n}", 1), event_id(f"c{n}", 2)]


@pytest.mark.parametrize(
    ("delivery_class", "tries", "finds"),
    [
        pytest.param(DeliveryClass.A, 2, 0, id="class A is written again under its key"),
        pytest.param(DeliveryClass.B, 1, 1, id="class B is found, and not written again"),
    ],
)
async def test_a_replay_of_what_was_delivered_doubles_nothing(
    road: Road, delivery_class: DeliveryClass, tries: int, finds: int
) -> None:
    sink = FakeSink(delivery_class)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(5)
        for _ in range(2):
            await replay(road, event_id("c1"))
        await trio.sleep(60)
    stand = await road.stands()
    assert (len(sink.calls), len(sink.finds)) == (tries, finds)
    assert sink.remote.doubled() == 0 and len({call.key for call in sink.calls}) == 1
    assert stand.rows == {} and stand.receipts == {event_id("c1"): "R-1"}


async def test_a_replay_while_newer_facts_are_under_way_never_puts_two_in_flight(road: Road) -> None:
    sink = FakeSink(latency_s=1.0)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1", 1)])
        await trio.sleep(5)
        await road.tell([fact("c1", 2), fact("c1", 3)])
        await trio.sleep(0.5)
        await replay(road, event_id("c1", 1))
        await road.tell([fact("c1", 4)])
        await trio.sleep(60)
    assert sink.overlaps == []
    stand = await road.stands()
    assert len(stand.receipts) == 4 and stand.rows == {} and sink.remote.doubled() == 0
