"""A stop or a crash at any moment: nothing is lost, and what was settled is not sent again."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.lowlevel

from isthmus.delivery.policy import RetryPolicy
from isthmus.delivery.window import Window
from isthmus.sdk.connector import DeliveryClass
from isthmus.sdk.errors import Rejected, Retryable
from isthmus.store import intents, receipts
from isthmus.store.face import Store
from tests.delivery.fakes import FakeSink, Lost
from tests.delivery.given import Road, SlowReads, Stand, a_lane, event_id, fact

A, B, C = DeliveryClass.A, DeliveryClass.B, DeliveryClass.C
SUBJECTS = [f"c{n}" for n in range(8)]


class Cuts(SlowReads):
    """Lets ``writes`` write transactions through; the next one never happens, nor anything after it."""

    def __init__(self, inner: Store, writes: int) -> None:
        super().__init__(inner, 0.0)
        self._left = writes
        self.cut = trio.Event()

    async def write(self, unit: Callable[[Any], Any]) -> Any:
        if self._left == 0:
            self.cut.set()
            await trio.sleep_forever()
        self._left -= 1
        return await super().write(unit)


def troubled(delivery_class: DeliveryClass) -> FakeSink:
    """Some refusals, some retries, some lost answers."""
    sink = FakeSink(delivery_class, latency_s=0.1, concurrency=3)
    sink.goes_wrong("c1", Retryable("503"), Retryable("503"))
    sink.goes_wrong("c2", *[Rejected("no")] * 100)
    sink.goes_wrong("c3", Lost(commit_after_s=2.0))
    return sink


async def run_until_cut(store: Store, sink: FakeSink, writes: int) -> bool:
    """Run a lane that dies before its write number ``writes + 1``; False when it came to rest before."""
    cuts = Cuts(store, writes)
    road = Road(cuts)
    dead = False
    async with road.at_work(sink, a_lane()):
        with trio.move_on_after(300):
            await cuts.cut.wait()
            dead = True
        for actor in road.actors.values():
            actor.abandon()  # a dead process finishes nothing
    return dead


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the log, the lane and the peer say after all the crashes."""

    facts: set[str]
    stand: Stand
    sink: FakeSink
    crashes: int

    @property
    def lost(self) -> set[str]:
        """Facts without a receipt and without a row that says why not."""
        return self.facts - set(self.stand.receipts) - set(self.stand.rows)


async def crash_again_and_again(store: Store, delivery_class: DeliveryClass) -> Books:
    """Each run dies one write later than the one before, until one comes to rest."""
    road = Road(store)
    facts = [fact(subject, n) for n in (1, 2) for subject in SUBJECTS]
    await road.tell(facts)
    sink = troubled(delivery_class)
    settled: dict[str, str] = {}
    crashes = 0
    while await run_until_cut(store, sink, crashes):
        crashes += 1
        stand = await road.stands()
        assert settled.items() <= stand.receipts.items(), "a receipt is never taken back"
        settled = stand.receipts
        assert crashes < 200
    return Books(facts={each.id for each in facts}, stand=await road.stands(), sink=sink, crashes=crashes)


@pytest.mark.parametrize(
    "delivery_class", [pytest.param(each, id=f"class {each.value}") for each in DeliveryClass]
)
async def test_a_crash_before_any_write_loses_nothing_and_doubles_nothing(
    store: Store, delivery_class: DeliveryClass
) -> None:
    books = await crash_again_and_again(store, delivery_class)
    assert books.crashes > 5
    assert (books.lost, books.sink.remote.doubled(), books.stand.unfinished) == (set(), 0, 0)
    states = {each: row.state for each, row in books.stand.rows.items()}
    if delivery_class is C:
        assert set(states.values()) <= {"in_doubt", "blocked", "dead"}
        sent = books.sink.sent()
        again = {each for each in sent if sent.count(each) > 1}
        assert again <= {event_id("c1", 1)}, "only what the peer itself refused to take went again"
    else:
        assert states == {event_id("c2", 1): "dead", event_id("c2", 2): "dead"}
        records = books.sink.remote.records()
        assert {record.event_id for record in records} == set(books.stand.receipts)


def forgets_intents(planted: pytest.MonkeyPatch) -> None:
    """What was in hand at the crash is taken from the log again, as if it had never been sent."""
    planted.setattr(intents, "unfinished", lambda tx, lane: [])


def position_first(planted: pytest.MonkeyPatch) -> None:
    """The position moves to what was read, not to what is settled."""
    planted.setattr(Window, "position_without", lambda self, settled: self.head)


@pytest.mark.parametrize(
    ("plant", "delivery_class", "harm"),
    [
        pytest.param(forgets_intents, C, "doubled", id="forgotten intents double class C"),
        pytest.param(forgets_intents, B, "doubled", id="forgotten intents double class B"),
        pytest.param(position_first, A, "lost", id="a position ahead of the calls loses facts"),
    ],
)
async def test_the_crash_check_notices_a_planted_bug(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    delivery_class: DeliveryClass,
    harm: str,
) -> None:
    plant(monkeypatch)
    books = await crash_again_and_again(store, delivery_class)
    assert {"doubled": books.sink.remote.doubled(), "lost": len(books.lost)}[harm] > 0


@pytest.mark.parametrize("planted", [pytest.param(False, id="as built"), pytest.param(True, id="mutant")])
async def test_what_was_settled_beyond_the_position_is_not_sent_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """One call hangs and holds the position; the mutant takes all behind it from the log again."""
    if planted:
        monkeypatch.setattr(receipts, "done_since", lambda tx, lane, position: set())
    road, sink = Road(store), FakeSink(C)
    sink.goes_wrong("c0", Lost(hang=True))
    await road.tell([fact(subject) for subject in SUBJECTS])
    for _ in range(2):
        async with road.at_work(sink, a_lane()):
            await trio.sleep(5)
            for actor in road.actors.values():
                actor.abandon()
    assert (sink.remote.doubled() > 0) == planted


async def test_a_crash_per_write_of_a_healthy_lane_sends_settled_ones_once(store: Store) -> None:
    road = Road(store)
    await road.tell([fact(subject) for subject in SUBJECTS])
    sink = FakeSink(A, concurrency=1)
    crashes = 0
    while await run_until_cut(store, sink, 3):
        # Three writes: where it stood, the intent, and the receipt of one delivery.
        crashes += 1
        stand = await road.stands()
        assert len(stand.receipts) == crashes
    assert sink.remote.doubled() == 0 and len(await _receipts(road)) == len(SUBJECTS)
    sent = sink.sent()
    assert len(sent) == len(set(sent)), "each was settled before the next crash"


async def _receipts(road: Road) -> dict[str, str]:
    return (await road.stands()).receipts


async def test_a_stop_finishes_the_call_in_hand_and_begins_no_other(road: Road) -> None:
    sink = FakeSink(latency_s=10.0, concurrency=2)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact(f"c{n}") for n in range(5)])
        await trio.sleep(5)
    stand = await road.stands()
    assert len(stand.receipts) == 2 and stand.unfinished == 0
    async with road.at_work(sink, a_lane()):
        await trio.sleep(60)
    assert len(sink.calls) == 5 and len(await _receipts(road)) == 5


async def test_a_stop_waits_until_the_lanes_are_empty(road: Road) -> None:
    sink = FakeSink(latency_s=10.0)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(5)
        (actor,) = road.actors.values()
        with trio.fail_after(6):
            await actor.wait_empty()
        assert len(await _receipts(road)) == 1


@pytest.mark.parametrize(
    ("delivery_class", "sent_again", "found", "state"),
    [
        pytest.param(A, 1, 0, None, id="class A is sent again under its key"),
        pytest.param(B, 0, 2, None, id="class B is looked up and adopted, and so is what stood behind it"),
        pytest.param(C, 0, 0, "in_doubt", id="class C waits for a person"),
    ],
)
async def test_a_call_that_was_abandoned_is_in_doubt_at_the_next_start(
    road: Road, delivery_class: DeliveryClass, sent_again: int, found: int, state: str | None
) -> None:
    sink = FakeSink(delivery_class, latency_s=0.1)
    sink.goes_wrong("c1", Lost(hang=True))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1", 1), fact("c1", 2)])
        await trio.sleep(5)
        for actor in road.actors.values():
            actor.abandon()
        await trio.lowlevel.checkpoint()
    stand = await road.stands()
    assert stand.unfinished == 1 and stand.receipts == {}
    async with road.at_work(sink, a_lane()):
        await trio.sleep(60)
    stand = await road.stands()
    assert sink.sent("c1").count(event_id("c1", 1)) == 1 + sent_again
    assert len(sink.finds) == found and sink.remote.doubled() == 0
    if state is None:
        assert sorted(stand.receipts) == [event_id("c1", 1), event_id("c1", 2)]
    else:
        assert stand.rows[event_id("c1", 1)].state == state
        assert stand.rows[event_id("c1", 2)].state == "blocked", "the next of the subject waits too"
        assert [letter.error_class for letter in stand.letters] == ["in_doubt"]


async def test_class_b_is_given_its_time_to_commit_after_a_crash(road: Road) -> None:
    sink = FakeSink(B, latency_s=0.1, worst_commit_s=30.0)
    sink.goes_wrong("c1", Lost(commit_after_s=25.0, hang=True))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(5)
        for actor in road.actors.values():
            actor.abandon()
    restarted = trio.current_time()
    async with road.at_work(sink, a_lane()):
        await trio.sleep(120)
    assert sink.finds[0] >= restarted + 30.0
    assert len(await _receipts(road)) == 1 and sink.remote.doubled() == 0


async def test_retries_go_on_where_they_stood(road: Road) -> None:
    sink = FakeSink()
    sink.goes_wrong("c1", *[Retryable("503")] * 3)
    lane = a_lane(retry=RetryPolicy(first_s=100.0, max_s=10_000.0))
    async with road.at_work(sink, lane):
        await road.tell([fact("c1", 1), fact("c1", 2)])
        await trio.sleep(1)
    row = (await road.stands()).rows[event_id("c1", 1)]
    async with road.at_work(sink, lane):
        await trio.sleep(30)
        assert len(sink.calls) == 1, "a restart does not shorten the wait"
        await trio.sleep(3000)
    assert [call.attempt for call in sink.calls] == [1, 2, 3, 4, 1]
    assert row.attempts == 1 and len(await _receipts(road)) == 2


async def test_an_idle_lane_writes_down_how_far_it_read_so_that_a_start_is_quick(store: Store) -> None:
    road = Road(store)
    strangers = [fact(f"c{n}", entity="fr01") for n in range(12_000)]
    await road.tell(strangers)
    async with road.at_work(FakeSink(), a_lane(entities=frozenset({"de01"}))):
        await trio.sleep(60)
        (actor,) = road.actors.values()
        assert actor.backlog(12_000) == 0
    assert (await road.stands()).position >= 12_000 - 5_000


async def test_a_lane_that_has_not_begun_owes_what_lies_behind_its_position(store: Store) -> None:
    """Else a connector that cannot open would look full, and stop every source, on an old log."""
    road = Road(store)
    async with road.at_work(None, a_lane()):
        await trio.sleep(5)
        (actor,) = road.actors.values()
        assert actor.backlog(2_000_000, 1_999_990) == 10
