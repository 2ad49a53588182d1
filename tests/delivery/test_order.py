"""Facts of one subject arrive in order, whatever fails; subjects do not wait for each other."""

import pytest
import trio

from isthmus.delivery.actor import LaneActor
from isthmus.delivery.peer import Peer
from isthmus.delivery.policy import RetryPolicy
from isthmus.sdk.errors import Rejected, Retryable
from isthmus.store.face import Store
from tests.delivery.fakes import FakeSink
from tests.delivery.given import INSTANCE, LANE, Road, SlowReads, a_lane, event_id, fact


async def test_what_is_owed_is_delivered_once_each_with_a_receipt(road: Road) -> None:
    sink = FakeSink()
    async with road.at_work(sink, a_lane()):
        await road.tell([fact(f"c{n}") for n in range(20)])
        await trio.sleep(60)
    stand = await road.stands()
    assert len(sink.calls) == len(stand.receipts) == 20
    assert stand.rows == {} and stand.unfinished == 0
    assert set(stand.receipts.values()) == {record.remote_id for record in sink.remote.records()}


async def test_facts_of_one_subject_go_in_order_under_retries(road: Road) -> None:
    sink = FakeSink()
    for subject in ("c1", "c2", "c3"):
        sink.goes_wrong(subject, *[Retryable("503")] * 3)
    async with road.at_work(sink, a_lane()):
        for n in range(1, 6):
            await road.tell([fact(subject, n) for subject in ("c1", "c2", "c3")])
            await trio.sleep(0.8)
        await trio.sleep(600)
    stand = await road.stands()
    assert len(stand.receipts) == 15
    assert stand.rows == {}
    assert sink.overlaps == []
    for subject in ("c1", "c2", "c3"):
        delivered = [record.event_id for record in sink.remote.records() if record.subject == subject]
        assert delivered == [event_id(subject, n) for n in range(1, 6)]
        assert sink.sent(subject)[:4] == [event_id(subject, 1)] * 4


async def test_different_subjects_go_in_parallel_up_to_the_concurrency(road: Road) -> None:
    sink = FakeSink(latency_s=10.0, concurrency=5)
    await road.tell([fact(f"c{n}") for n in range(20)])
    began = trio.current_time()
    async with road.at_work(sink, a_lane()):
        await trio.sleep(100)
    assert sink.busiest == 5
    assert max(call.at for call in sink.calls) - began < 45


async def test_a_poison_subject_beside_a_thousand_healthy_ones_holds_back_only_itself(road: Road) -> None:
    sink = FakeSink(latency_s=0.01, concurrency=8)
    sink.goes_wrong("poison", Rejected("unknown tax id", reason="value", peer_words="E-42"))
    healthy = [fact(f"c{n}") for n in range(1000)]
    async with road.at_work(sink, a_lane()):
        await road.tell([*healthy[:500], fact("poison", 1), *healthy[500:]])
        await trio.sleep(600)
    stand = await road.stands()
    assert len(stand.receipts) == 1000
    (letter,) = stand.letters
    assert (letter.subject, letter.error_class, letter.peer_words) == ("poison", "value", "E-42")
    assert [row.state for row in stand.rows.values()] == ["dead"]
    assert road.watch.dead_reasons == ["value"]


async def test_a_subject_that_keeps_failing_holds_back_its_own_later_facts(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", *[Retryable("locked")] * 100)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1", 1), fact("c2", 1)])
        await trio.sleep(5)
        await road.tell([fact("c1", 2), fact("c2", 2)])
        await trio.sleep(60)
        assert set(sink.sent("c1")) == {event_id("c1", 1)}
        assert [record.subject for record in sink.remote.records()] == ["c2", "c2"]
        sink.heals()
        await trio.sleep(300)
    delivered = [record.event_id for record in sink.remote.records() if record.subject == "c1"]
    assert delivered == [event_id("c1", 1), event_id("c1", 2)]


async def lags_of_the_healthy(store: Store, poison: int) -> list[float]:
    """Seconds from fact to receipt of 1,000 healthy facts, while some subjects fail again and again."""
    road, sink = Road(store), FakeSink(latency_s=0.05, concurrency=4)
    for n in range(poison):
        sink.goes_wrong(f"poison{n}", *[Retryable("locked")] * 5, Rejected("no"))
    told: dict[str, float] = {}
    async with road.at_work(sink, a_lane()):
        for n in range(1000):
            facts = [fact(f"c{n}")]
            if n % 100 == 0 and n // 100 < poison:
                facts.append(fact(f"poison{n // 100}"))
            told[f"c{n}"] = trio.current_time()
            await road.tell(facts)
            await trio.sleep(0.02)
        await trio.sleep(600)
    assert len((await road.stands()).letters) == poison
    return sorted(call.at - told[call.subject] for call in sink.calls if call.subject in told)


async def test_ten_poison_subjects_slow_the_others_by_less_than_a_fifth(store: Store) -> None:
    beside = await lags_of_the_healthy(store, 10)
    assert len(beside) == 1000
    assert beside[950] <= 1.2 * 0.05, "alone each takes one call of 0.05 s"


async def test_a_sink_that_is_down_costs_disk_and_no_memory(store: Store) -> None:
    """However much waits, the lane holds its window; then all of it arrives."""
    road, sink = Road(store, Peer(INSTANCE)), FakeSink(latency_s=0.0, concurrency=8)
    for n in range(1500):
        sink.goes_wrong(f"c{n}", *[Retryable("503")] * 1000)
    async with road.at_work(sink, a_lane(window=50, retry=RetryPolicy(first_s=1.0, max_s=60.0))):
        held = 0
        for n in range(0, 1500, 100):
            await road.tell([fact(f"c{m}") for m in range(n, n + 100)])
            await trio.sleep(300)
            held = max(held, len(road.actors[LANE]._window))
        assert held <= 50
        assert road.actors[LANE].backlog(1500) > 1400, "what is owed is known though it is not held"
        sink.heals()
        await trio.sleep(1800)
    stand = await road.stands()
    assert len(stand.receipts) == 1500 and sink.remote.doubled() == 0 and stand.rows == {}


@pytest.mark.parametrize(
    ("hold_on_dead", "delivered"),
    [
        pytest.param(False, [event_id("c1", 2), event_id("c1", 3)], id="later facts pass a dead letter"),
        pytest.param(True, [], id="with hold_on_dead they wait for a person"),
    ],
)
async def test_a_dead_letter_holds_its_subject_back_only_where_the_lane_says_so(
    road: Road, hold_on_dead: bool, delivered: list[str]
) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", Rejected("period closed", reason="period"))
    async with road.at_work(sink, a_lane(hold_on_dead=hold_on_dead)):
        # The second waits behind the first in the window, the third is read when the first is dead.
        await road.tell([fact("c1", 1), fact("c1", 2)])
        await trio.sleep(10)
        await road.tell([fact("c1", 3)])
        await trio.sleep(60)
    assert [record.event_id for record in sink.remote.records()] == delivered
    assert (await road.stands()).rows[event_id("c1", 1)].state == "dead"


def _believe_old_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: what a look saw is used although calls have ended since."""
    nothing = property(lambda self: set(), lambda self, seen: None)
    monkeypatch.setattr(LaneActor, "_changed", nothing, raising=False)


@pytest.mark.parametrize("planted", [pytest.param(False, id="as built"), pytest.param(True, id="mutant")])
async def test_a_fact_read_while_its_elder_is_failing_does_not_overtake_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """The look saw the elder in flight; by the time its facts are taken up the elder waits for a retry."""
    if planted:
        _believe_old_looks(monkeypatch)
    road = Road(SlowReads(store, 0.35))
    sink = FakeSink(latency_s=0.3, concurrency=20)
    subjects = [f"c{n}" for n in range(10)]
    for subject in subjects:
        sink.goes_wrong(subject, Retryable("503"), Retryable("503"))
    async with road.at_work(sink, a_lane()):
        for n in range(1, 30):
            for subject in subjects:
                await road.tell([fact(subject, n)])
                await trio.sleep(0.013)
        await trio.sleep(300)
    assert (_out_of_order(sink) != []) == planted
    assert sink.overlaps == []
    assert len(sink.remote.records()) == 290 and sink.remote.doubled() == 0


def _out_of_order(sink: FakeSink) -> list[str]:
    """Subjects of which a later fact was tried before an earlier one was done."""
    tried: dict[str, list[int]] = {}
    for call in sink.calls:
        tried.setdefault(call.subject, []).append(int(call.event_id.rpartition("/")[2]))
    return [subject for subject, numbers in tried.items() if numbers != sorted(numbers)]


async def test_a_lane_takes_only_its_kinds_and_entities(road: Road) -> None:
    sink = FakeSink()
    async with road.at_work(sink, a_lane(entities=frozenset({"de01"}))):
        await road.tell([fact("c1"), fact("c2", entity="fr01"), fact("c3")])
        await trio.sleep(10)
    assert sorted(sink.sent()) == [event_id("c1"), event_id("c3")]
    assert LANE in road.actors
