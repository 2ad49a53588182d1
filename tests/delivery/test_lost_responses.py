"""The remote commits, the answer is lost: A and B double nothing, C sends nothing again by itself.

A thousand lost answers for each class; the remote commits them between at once and 5 s late. The mutants
beside are changes somebody could make in good faith: each must turn the same check red.
"""

import random
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio

from isthmus.delivery import attempt, judge
from isthmus.delivery.policy import Fate, InDoubt, decide
from isthmus.sdk.connector import DeliveryClass
from isthmus.sdk.errors import ConnectorError, Rejected, Retryable, Throttled
from isthmus.store import dead_letters
from isthmus.store.face import Store
from tests.delivery.fakes import FakeSink, Lost
from tests.delivery.given import Road, a_lane, event_id, fact

A, B, C = DeliveryClass.A, DeliveryClass.B, DeliveryClass.C
LATEST_S = 5.0
"""The longest the remote takes to commit what it received; its connector declares it."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the remote's own ledger says after everything has come to rest."""

    lost: int
    doubled: int
    sent_again: int
    receipts: int
    in_doubt: int
    proof: bool
    """Whether every receipt names the record of its fact."""


async def lose_answers(store: Store, delivery_class: DeliveryClass, number: int) -> Verdict:
    """Lose the answer of the first try of ``number`` facts, and of some second tries as well."""
    random.seed(number)
    road = Road(store)
    sink = FakeSink(delivery_class, latency_s=0.05, concurrency=50, worst_commit_s=LATEST_S)
    for n in range(number):
        late = 0.0 if n % 4 == 0 else random.uniform(0.08, LATEST_S - 0.01)
        sink.goes_wrong(f"c{n}", Lost(commit_after_s=late, hang=n % 10 == 1))
        if n % 5 == 0:
            sink.goes_wrong(f"c{n}", Lost(commit_after_s=late / 2))
    await road.tell([fact(f"c{n}") for n in range(number)])
    async with road.at_work(sink, a_lane(timeout_s=2.0)):
        await trio.sleep(1800)
    stand = await road.stands()
    records = sink.remote.records()
    named = {record.event_id: record.remote_id for record in records}
    return Verdict(
        lost=number - len(named),
        doubled=sink.remote.doubled(),
        sent_again=len(sink.calls) - number,
        receipts=len(stand.receipts),
        in_doubt=sum(row.state == "in_doubt" for row in stand.rows.values()),
        proof=all(named.get(each) == remote_id for each, remote_id in stand.receipts.items()),
    )


async def test_class_a_doubles_none_of_a_thousand(store: Store) -> None:
    verdict = await lose_answers(store, A, 1000)
    assert (verdict.lost, verdict.doubled, verdict.receipts, verdict.proof) == (0, 0, 1000, True)
    assert verdict.sent_again >= 1000, "the peer enforces the key, so it is simply sent again"


async def test_class_b_doubles_none_of_a_thousand(store: Store) -> None:
    verdict = await lose_answers(store, B, 1000)
    assert (verdict.lost, verdict.doubled, verdict.receipts, verdict.proof) == (0, 0, 1000, True)
    assert verdict.sent_again == 0, "every lost one was found and adopted"


async def test_class_c_sends_none_of_a_thousand_again_and_asks_a_person_each_time(store: Store) -> None:
    verdict = await lose_answers(store, C, 1000)
    assert (verdict.doubled, verdict.sent_again, verdict.receipts) == (0, 0, 0)
    assert verdict.in_doubt == 1000
    wanted = dead_letters.Filter(error_class="in_doubt", limit=2000)
    assert len(await store.read(lambda tx: dead_letters.listing(tx, wanted))) == 1000


def _plainly(error: ConnectorError, **known: Any) -> Fate:
    """Every failure is tried again, as if nothing had happened."""
    fate = decide(error, **known)
    if isinstance(fate, InDoubt):
        return decide(Retryable(str(error)), **known)
    return fate


def plain_retry(planted: pytest.MonkeyPatch) -> None:
    """A time-out is a failure, and a failure is tried again."""

    async def unlooked(sink: FakeSink, first: object, sends: Any) -> list[Any]:
        return [await sink.deliver(sends[0])]

    planted.setattr(judge, "decide", _plainly)
    planted.setattr(attempt, "_send", unlooked)


def look_up_at_once(planted: pytest.MonkeyPatch) -> None:
    """What is in doubt is looked up as soon as possible, without the peer's time to commit."""

    planted.setattr(judge, "decide", _plainly)


def c_is_taken_for_a(planted: pytest.MonkeyPatch) -> None:
    """Where the class is not looked at, sending again seems safe."""
    planted.setattr(judge, "class_of", lambda sink, item: A)


def random_keys(planted: pytest.MonkeyPatch) -> None:
    """Every try gets a key of its own."""
    planted.setattr(attempt, "delivery_key", lambda *fact: uuid.uuid4().hex)


@pytest.mark.parametrize(
    ("plant", "delivery_class"),
    [
        pytest.param(plain_retry, B, id="plain retry doubles class B"),
        pytest.param(look_up_at_once, B, id="a look-up before the worst commit doubles class B"),
        pytest.param(c_is_taken_for_a, C, id="class C taken for A doubles"),
        pytest.param(random_keys, A, id="random keys double class A"),
    ],
)
async def test_the_check_notices_a_planted_bug(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    delivery_class: DeliveryClass,
) -> None:
    plant(monkeypatch)
    assert (await lose_answers(store, delivery_class, 100)).doubled > 0


async def test_what_was_never_committed_is_looked_up_and_then_sent_again(road: Road) -> None:
    sink = FakeSink(B)
    sink.goes_wrong("c1", Retryable("connection refused"))
    sink.goes_wrong("c2", Lost(commit_after_s=1e9))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1"), fact("c2")])
        await trio.sleep(100)
    stand = await road.stands()
    assert len(stand.receipts) == 2 and stand.rows == {}
    assert len(sink.finds) == 2, "whatever was tried before is looked up before it is sent again"
    assert sink.finds[-1] - sink.calls[0].at >= sink.worst_commit_s


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([Retryable("503")], id="the search fails"),
        pytest.param([Rejected("403 on search")], id="the search is refused"),
        pytest.param([KeyError("items")], id="the search breaks"),
        pytest.param([Throttled("429", retry_after_s=3)], id="the search is throttled"),
        pytest.param([Retryable("503"), KeyError("x"), Retryable("502")], id="and fails again"),
    ],
)
async def test_as_long_as_a_search_has_no_answer_nothing_is_sent(
    road: Road, trouble: list[Exception]
) -> None:
    sink = FakeSink(B)
    sink.goes_wrong("c1", Lost())
    sink.find_faults.extend(trouble)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(1800)
    stand = await road.stands()
    assert len(sink.calls) == 1 and sink.remote.doubled() == 0
    assert stand.receipts == {event_id("c1"): "R-1"}
    assert stand.details == {event_id("c1"): "found"}


def _sends_after_a_failed_search(planted: pytest.MonkeyPatch) -> None:
    """Planted: a search that fails is a failure like any other, so the row is no longer in doubt."""

    async def careless(sink: FakeSink, first: Any, sends: Any) -> list[Any]:
        if first.in_doubt:
            found = await sink.find(sends[0])
            if found is not None:
                return [found]
        return [await sink.deliver(sends[0])]

    planted.setattr(attempt, "_send", careless)


async def test_the_search_test_notices_a_send_after_a_failed_search(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sends_after_a_failed_search(monkeypatch)
    road, sink = Road(store), FakeSink(B)
    sink.goes_wrong("c1", Lost())
    sink.find_faults.append(Retryable("503"))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(1800)
    assert sink.remote.doubled() == 1


async def test_a_search_that_never_answers_ends_with_a_person(road: Road) -> None:
    sink = FakeSink(B)
    sink.goes_wrong("c1", Lost(commit_after_s=1.0))
    sink.find_faults.extend([Retryable("503")] * 1000)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(6 * 3600)
    stand = await road.stands()
    (letter,) = stand.letters
    assert (letter.error_class, letter.state) == ("in_doubt", "open")
    assert stand.rows[event_id("c1")].state == "in_doubt"
    assert len(sink.calls) == 1 and 10 < len(sink.finds) < 200


async def test_a_person_decides_on_class_c_and_then_it_goes_once_more(road: Road) -> None:
    sink = FakeSink(C)
    sink.goes_wrong("c1", Lost(commit_after_s=1e9))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1", 1), fact("c1", 2), fact("c2")])
        await trio.sleep(3600)
        assert sorted(sink.sent()) == [event_id("c1", 1), event_id("c2")], "its subject waits, others do not"
        await road.retry_all()
        await trio.sleep(60)
    stand = await road.stands()
    assert len(stand.receipts) == 3
    assert [letter.state for letter in stand.letters] == ["resolved"]
