"""What becomes of a delivery that does not simply succeed, and that the lane lives on."""

from decimal import Decimal
from typing import Any

import pytest
import trio

from isthmus.events import ChargePosted
from isthmus.sdk.connector import DeliveryClass, Link, Receipt
from isthmus.sdk.errors import Fatal, Rejected, Retryable, Unmet, Unsure
from isthmus.store import crosswalk, log
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store
from tests.delivery.fakes import FakeSink, Gives, Lost
from tests.delivery.given import (
    INSTANCE,
    LANE,
    START,
    Road,
    SlowReads,
    a_lane,
    event_id,
    fact,
)

OTHER = "erp.projects"
BAD_LINK = Receipt(remote_id="R", links=[Link(kind="x", key=None, remote_id="R")])  # type: ignore[arg-type]
BAD_FACTS = Receipt(remote_id="R", facts=["no event"])  # type: ignore[list-item]


async def test_a_refusal_is_a_work_item_and_a_retry_after_the_correction_resolves_it(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", Rejected("period closed", reason="period", peer_words="PERIOD_LOCKED"))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(3600)
        assert len(sink.calls) == 1
        (letter,) = (await road.stands()).letters
        assert (letter.state, letter.error_class, letter.peer_words) == ("open", "period", "PERIOD_LOCKED")
        assert letter.payload_place == event_id("c1")
        await road.retry_all()
        await trio.sleep(10)
    stand = await road.stands()
    (letter,) = stand.letters
    assert (letter.state, letter.resolved_by) == ("resolved", INSTANCE)
    assert stand.rows == {} and list(stand.receipts) == [event_id("c1")]
    assert len({call.key for call in sink.calls}) == 1, "a retry asks under the key it always had"


async def test_a_retry_that_is_refused_again_opens_the_same_work_item_again(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", Rejected("closed"), Rejected("still closed"))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(10)
        await road.retry_all()
        await trio.sleep(10)
    (letter,) = (await road.stands()).letters
    assert (letter.state, letter.reason) == ("open", "still closed")


async def test_what_keeps_failing_becomes_a_dead_letter_after_max_age(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", *[Retryable("503")] * 10_000)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(2 * 3600)
    (letter,) = (await road.stands()).letters
    assert (letter.error_class, letter.reason) == ("other", "503")
    assert 60 < len(sink.calls) < 200, "doubling from 1 s to 60 s over one hour"


async def test_what_is_not_met_is_woken_by_a_link_of_a_sibling_lane(road: Road) -> None:
    """Projects wait for their customer; its link, written by another lane of the connector, ends the wait."""
    sink = FakeSink(
        links=lambda event: [Link(kind="customer", key=event.subject, remote_id=f"R-{event.subject}")]
    )
    sink.goes_wrong("early", *[Unmet("customer c1")] * 100)
    projects = a_lane(name=OTHER, entities=frozenset({"projects"}))
    customers = a_lane(entities=frozenset({"customers"}))
    async with road.at_work(sink, customers, projects):
        await road.tell([fact("early", entity="projects")])
        await trio.sleep(300)
        waits = (await road.stands(OTHER)).rows[event_id("early")]
        assert (waits.error_class, waits.attempts) == ("Unmet", 0), "waiting for another counts no failure"
        sink.heals()
        before = len(sink.sent("early"))
        await road.tell([fact("c1", entity="customers")])
        await trio.sleep(1.5)
        assert len(sink.sent("early")) == before + 1
    assert list((await road.stands(OTHER)).receipts) == [event_id("early")]


async def test_a_fatal_error_parks_the_lane_and_a_resume_goes_on(road: Road) -> None:
    sink = FakeSink(concurrency=2)
    sink.goes_wrong("c1", Fatal("401 token revoked"))
    async with road.at_work(sink, a_lane(), a_lane(name=OTHER, kinds=frozenset())):
        await road.tell([fact(f"c{n}") for n in range(1, 30)])
        await trio.sleep(3600)
        assert road.parking.reasons == {LANE: "401 token revoked"}
        stood = len(sink.calls)
        assert stood < 29, "a parked lane stands still"
        road.parking.resume(LANE)
        await trio.sleep(60)
    stand = await road.stands()
    assert len(stand.receipts) == 29 and stand.rows == {} and stand.unfinished == 0
    assert sink.remote.doubled() == 0
    assert road.restarts == [], "a park is no crash"


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Gives(Receipt(remote_id="")), id="a receipt that names no record"),
        pytest.param(Gives(None), id="nothing at all"),
        pytest.param(Gives("OK"), id="an empty 200"),
        pytest.param(Gives(BAD_LINK), id="an impossible link"),
        pytest.param(Gives(BAD_FACTS), id="facts that are none"),
        pytest.param(KeyError("id"), id="broken code"),
        pytest.param(ExceptionGroup("a nursery", [KeyError("id")]), id="broken code inside a nursery"),
    ],
)
async def test_what_proves_nothing_is_no_success(road: Road, outcome: Any) -> None:
    """The lane asks again, and takes the proof when it comes."""
    sink = FakeSink()
    sink.goes_wrong("c1", outcome)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1"), fact("c2")])
        await trio.sleep(0.58)
        assert event_id("c1") not in (await road.stands()).receipts
        await trio.sleep(60)
    stand = await road.stands()
    assert stand.receipts[event_id("c1")] in {record.remote_id for record in sink.remote.records()}
    assert len(sink.sent("c1")) == 2
    assert road.restarts == [], "no outcome of a connector stops the lane"


async def test_code_that_breaks_three_times_on_a_delivery_makes_a_dead_letter_and_the_lane_lives(
    road: Road,
) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", *[KeyError("amount")] * 10)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1"), fact("c2")])
        await trio.sleep(3600)
        await road.tell([fact("c1", 2), fact("c3")])
        sink.heals()
        await trio.sleep(60)
    stand = await road.stands()
    (letter,) = stand.letters
    assert "broke 3 times" in letter.reason and "KeyError" in letter.reason
    assert sink.sent("c1") == [event_id("c1", 1)] * 3 + [event_id("c1", 2)]
    assert sorted(stand.receipts) == [event_id("c1", 2), event_id("c2"), event_id("c3")]
    assert road.restarts == [] and road.watch.dead_reasons == ["other"]


async def test_a_receipt_that_can_never_be_kept_is_a_dead_letter_and_the_lane_lives(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", *[Gives(BAD_FACTS)] * 10)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1"), fact("c2")])
        await trio.sleep(3600)
    stand = await road.stands()
    assert ["cannot be kept" in letter.reason for letter in stand.letters] == [True]
    assert list(stand.receipts) == [event_id("c2")]
    assert road.restarts == []


@pytest.mark.parametrize(
    ("raised", "tries"),
    [
        pytest.param(ExceptionGroup("g", [Retryable("503")]), 2, id="a retryable one"),
        pytest.param(ExceptionGroup("g", [ExceptionGroup("h", [Rejected("no")])]), 1, id="a refusal, deep"),
    ],
)
async def test_a_nursery_in_the_connector_may_wrap_what_it_says(
    road: Road, raised: ExceptionGroup[Exception], tries: int
) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", raised)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(60)
    assert len(sink.calls) == tries
    assert "crash" not in road.watch.attempts


async def test_a_group_with_a_lost_answer_in_it_is_a_lost_answer(road: Road) -> None:
    sink = FakeSink(DeliveryClass.C)
    sink.goes_wrong("c1", ExceptionGroup("g", [Retryable("503"), Unsure("no answer")]))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(600)
    assert len(sink.calls) == 1
    assert (await road.stands()).rows[event_id("c1")].state == "in_doubt"


async def test_facts_of_a_receipt_are_in_the_log_and_announced(road: Road) -> None:
    def posted(event: Any) -> list[ChargePosted]:
        return [
            ChargePosted(
                source=INSTANCE,
                occurred_at=START,
                entity="de01",
                charge=event.subject,
                system=INSTANCE,
                remote_id="R",
                posted_on=START.date(),
                amount=Decimal("1.00"),
                currency="EUR",
            )
        ]

    sink = FakeSink(facts=posted)
    listens = a_lane(name=OTHER, kinds=frozenset({"charge.posted"}))
    async with road.at_work(sink, a_lane(), listens):
        await road.tell([fact("c1")])
        await trio.sleep(10)
    assert await road.store.read(lambda tx: log.head(tx)) == 2
    assert len((await road.stands(OTHER)).receipts) == 1, "the other lane was told of it"


async def test_a_link_that_is_taken_is_a_work_item_though_the_delivery_is_done(road: Road) -> None:
    """Also after a retry: solving the old trouble must not solve the new one."""
    sink = FakeSink(links=lambda event: [Link(kind="customer", key=event.subject, remote_id="R-same")])
    sink.goes_wrong("c2", Rejected("first no"))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(5)
        await road.tell([fact("c2")])
        await trio.sleep(5)
        await road.retry_all()
        await trio.sleep(5)
    stand = await road.stands()
    assert sorted(stand.receipts) == [event_id("c1"), event_id("c2")]
    assert [(letter.state, letter.error_class) for letter in stand.letters] == [
        ("resolved", "other"),
        ("open", "duplicate"),
    ]
    assert await road.store.read(lambda tx: crosswalk.key_of(tx, INSTANCE, "customer", "R-same")) == "c1"


class FillsUp(SlowReads):
    """A disk that is full from the ``first`` to the ``last`` write."""

    def __init__(self, inner: Store, first: int, last: int) -> None:
        super().__init__(inner, 0.0)
        self._full = range(first, last)
        self.writes = 0

    async def write(self, unit: Any) -> Any:
        self.writes += 1
        if self.writes in self._full:
            await trio.lowlevel.checkpoint()
            raise StoreFull("no space left")
        return await super().write(unit)


@pytest.mark.parametrize("first", [pytest.param(n, id=f"from write {n} on") for n in range(2, 9)])
async def test_a_full_disk_costs_time_and_nothing_else(store: Store, first: int) -> None:
    """A receipt in hand waits for space: class C would otherwise be in doubt, A be sent again."""
    full = FillsUp(store, first, first + 40)
    road = Road(full)
    sink = FakeSink(DeliveryClass.C, concurrency=1)
    sink.goes_wrong("c2", Retryable("503"))
    await Road(store).tell([fact(f"c{n}") for n in range(1, 4)])
    async with road.at_work(sink, a_lane()):
        await trio.sleep(600)
    stand = await road.stands()
    assert full.writes > first + 40
    assert len(stand.receipts) == 3 and stand.unfinished == 0
    assert sink.remote.doubled() == 0 and len(sink.calls) == 4
    assert road.restarts == [] and road.parking.reasons == {}


async def test_a_waiting_row_does_not_hide_when_another_falls_due(road: Road) -> None:
    """One row is due and cannot go, since its subject is busy; the lane still wakes for the other one."""
    sink = FakeSink(latency_s=0.01)
    sink.goes_wrong("slow", Retryable("503"), Lost(hang=True))
    sink.goes_wrong("c1", *[Retryable("503")] * 4)
    async with road.at_work(sink, a_lane(timeout_s=3000.0)):
        await road.tell([fact("slow"), fact("c1")])
        await trio.sleep(300)
    assert list((await road.stands()).receipts) == [event_id("c1")]


async def test_a_lane_with_nothing_to_do_does_nothing(store: Store) -> None:
    """No polling: an idle lane, a resting peer and a ripe analytical fact cost no look at the store."""
    counted = Counted(store)
    road = Road(counted)
    sink = FakeSink()
    async with road.at_work(sink, a_lane(), a_lane(name=OTHER, mode="analytical", lag_window_s=10.0)):
        await road.tell([fact("c1")])
        await trio.sleep(5)
        looked = counted.reads
        await trio.sleep(3)
        assert counted.reads == looked
        road.peer.paused = "by hand"
        await trio.sleep(36_000)
        assert counted.reads - looked < 10


class Counted(SlowReads):
    """Counts the looks."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, 0.0)
        self.reads = 0

    async def read(self, unit: Any, *, limit_s: float = 10.0) -> Any:
        self.reads += 1
        return await super().read(unit, limit_s=limit_s)
