"""When a peer is left alone: the circuit breaker, rests and pauses, over all lanes of a connector."""

from datetime import UTC, datetime, timedelta

import trio

from isthmus.delivery.peer import Peer
from isthmus.delivery.policy import Breaker, RetryPolicy
from isthmus.sdk.connector import Opened
from isthmus.sdk.errors import Rejected, Retryable, Throttled
from isthmus.store.face import Store
from tests.delivery.fakes import FakeSink
from tests.delivery.given import INSTANCE, Road, a_lane, fact

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
OTHER = "erp.other"
EAGER = RetryPolicy(first_s=0.01, max_s=0.02)


def in_s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def failed(breaker: Breaker, times: int, at: datetime = NOW) -> Breaker:
    for _ in range(times):
        breaker = breaker.failed(at)
    return breaker


def test_the_breaker_opens_after_its_limit_of_failures_in_a_row() -> None:
    assert failed(Breaker(), 4).state(NOW) == "closed"
    assert failed(Breaker(), 5).state(NOW) == "open"
    assert failed(failed(Breaker(), 4).succeeded(), 4).state(NOW) == "closed"


def test_after_a_while_it_is_half_open_and_an_answer_closes_it() -> None:
    breaker = failed(Breaker(), 5)
    assert breaker.state(in_s(4.9)) == "open"
    assert breaker.state(in_s(5)) == "half-open"
    assert breaker.succeeded() == Breaker()


def test_each_failure_of_the_one_that_tries_doubles_the_pause_up_to_max_s() -> None:
    breaker, at, pauses = failed(Breaker(), 5), NOW, []
    for _ in range(9):
        assert breaker.open_until is not None
        pauses.append((breaker.open_until - at).total_seconds())
        at = breaker.open_until
        breaker = breaker.failed(at)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() -> None:
    assert failed(Breaker(), 50).open_until == in_s(5)


def test_while_it_is_half_open_one_call_of_all_lanes_tries() -> None:
    peer = Peer(INSTANCE, failed(Breaker(), 5))
    peer.handover(Opened(sink=FakeSink()))
    assert peer.calls_allowed(in_s(5), in_flight=0, wanted=4) == (1, in_s(6))
    peer.in_flight = 1
    assert peer.calls_allowed(in_s(5), in_flight=0, wanted=4) == (0, in_s(6))


def test_the_longest_rest_that_was_asked_for_counts() -> None:
    peer = Peer(INSTANCE)
    peer.handover(Opened(sink=FakeSink()))
    peer.rest(in_s(30), NOW)
    peer.rest(in_s(10), NOW)
    assert peer.calls_allowed(in_s(29), 0, 4) == (0, in_s(30))
    assert not peer.may_be_asked(in_s(29)) and peer.may_be_asked(in_s(30))
    assert (peer.throttled_s, peer.rests) == (30.0, 1)
    assert peer.state(in_s(29)) == "throttled" and peer.state(in_s(30)) == "running"


async def test_a_peer_that_is_down_is_asked_ever_less_often_by_all_its_lanes_together(store: Store) -> None:
    """Two lanes, 400 subjects: after the first volley one call at a time, with doubling pauses."""
    road = Road(store, Peer(INSTANCE))
    sink = FakeSink(latency_s=0.0, concurrency=4)
    for n in range(400):
        sink.goes_wrong(f"c{n}", *[Retryable("503")] * 1000)
    lanes = [a_lane(retry=EAGER), a_lane(name=OTHER, retry=EAGER)]
    await road.tell([fact(f"c{n}") for n in range(400)])
    async with road.at_work(sink, *lanes):
        await trio.sleep(3600)
        down = [call.at for call in sink.calls]
        sink.heals()
        await trio.sleep(900)
    volley = [at for at in down if at < 1]
    assert 5 <= len(volley) <= 5 + 2 * 4
    assert len(down) - len(volley) < 20
    assert len((await road.stands()).receipts) == len((await road.stands(OTHER)).receipts) == 400
    assert sink.remote.doubled() == 400, "each lane has its own key, so each subject is there twice"


async def test_retry_after_rests_the_whole_connector_and_counts_no_try(road: Road) -> None:
    sink = FakeSink(latency_s=0.01)
    sink.goes_wrong("c0", Throttled("429", retry_after_s=120))
    async with road.at_work(sink, a_lane(), a_lane(name=OTHER)):
        await road.tell([fact("c0")])
        await trio.sleep(5)
        await road.tell([fact(f"c{n}") for n in range(1, 10)])
        await trio.sleep(600)
    began = sink.calls[0].at
    others = [call for call in sink.calls if call.at > began + 1]
    assert min(call.at for call in others) >= began + 119
    assert {call.attempt for call in sink.calls} == {1}
    assert len((await road.stands()).receipts) == len((await road.stands(OTHER)).receipts) == 10
    assert "throttled" in road.watch.attempts


async def test_a_peer_that_throttles_without_a_word_is_asked_ever_less_often(store: Store) -> None:
    road = Road(store)
    sink = FakeSink(latency_s=0.0, concurrency=1)
    sink.goes_wrong("c0", *[Throttled("slow down")] * 5)
    async with road.at_work(sink, a_lane(retry=RetryPolicy(first_s=4.0, max_s=1000.0))):
        await road.tell([fact("c0")])
        await trio.sleep(600)
    pauses = [later.at - call.at for call, later in zip(sink.calls, sink.calls[1:], strict=False)]
    assert len(pauses) == 5
    assert all(2 * 2**n <= pause <= 4 * 2**n + 0.01 for n, pause in enumerate(pauses))


async def test_refusals_do_not_open_the_breaker(store: Store) -> None:
    road = Road(store, Peer(INSTANCE))
    sink = FakeSink(latency_s=0.01)
    for n in range(20):
        sink.goes_wrong(f"c{n}", Rejected("no"))
    async with road.at_work(sink, a_lane()):
        await road.tell([fact(f"c{n}") for n in range(40)])
        await trio.sleep(1)
    assert len((await road.stands()).receipts) == 20


async def test_a_lost_batch_counts_as_one_failure(store: Store) -> None:
    road = Road(store, Peer(INSTANCE))
    sink = FakeSink(batch_max=50, concurrency=1)
    for n in range(50):
        sink.goes_wrong(f"c{n}", Retryable("503"))
    await road.tell([fact(f"c{n}") for n in range(50)])
    async with road.at_work(sink, a_lane()):
        await trio.sleep(0.5)
        assert road.peer.breaker.failures == 1
        assert road.peer.state(NOW) == "running"


async def test_shadow_says_nothing_about_the_peer(store: Store) -> None:
    road = Road(store, Peer(INSTANCE, failed(Breaker(), 4)))
    async with road.at_work(FakeSink(), a_lane(stage="shadow")):
        await road.tell([fact("c1")])
        await trio.sleep(1)
    assert (await road.stands()).position == 1
    assert road.peer.breaker.failures == 4


async def test_a_paused_peer_is_left_alone_and_goes_on_when_it_is_lifted(road: Road) -> None:
    sink = FakeSink()
    road.peer.paused = "audit, by the SRE"
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(3600)
        assert sink.calls == []
        road.peer.paused = None
        road.peer.changed()
        await trio.sleep(1.5)
        assert len(sink.calls) == 1


async def test_a_connector_that_closes_and_opens_again_wakes_its_lanes(road: Road) -> None:
    sink = FakeSink()
    async with road.at_work(sink, a_lane()):
        await trio.sleep(5)
        road.peer.handover(None)
        await road.tell([fact("c1")])
        await trio.sleep(3600)
        assert sink.calls == []
        road.peer.handover(Opened(sink=sink))
        await trio.sleep(1.5)
        assert len(sink.calls) == 1


async def test_a_connector_that_closes_under_a_call_loses_no_outcome(road: Road) -> None:
    """The call in hand ends as it ends; its outcome is judged by the sink it was made with."""
    sink = FakeSink(latency_s=10)
    async with road.at_work(sink, a_lane()):
        await road.tell([fact("c1")])
        await trio.sleep(5)
        road.peer.handover(None)
        await trio.sleep(60)
    stand = await road.stands()
    assert list(stand.receipts.values()) == ["R-1"]
    assert stand.unfinished == 0 and road.restarts == []
