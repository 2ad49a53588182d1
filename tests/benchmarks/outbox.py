"""From a source's page to the receipt: `record`, the log, a lane, a sink, and what a commit is worth.

One lane over one class A sink that takes batches of 500 and answers at once, so that what is measured is the
daemon. Nothing is bypassed: a page is one durable commit, a call is an intent before and a settlement behind
it, and of one subject only one fact is in flight.
"""

import argparse
import json
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import trio

from isthmus.delivery.actor import LaneActor
from isthmus.delivery.lane import Lane
from isthmus.delivery.peer import Peer
from isthmus.events import BusinessEvent
from isthmus.ingest.record import record
from isthmus.ops.metrics import Metrics
from isthmus.ops.watches import LaneMetrics
from isthmus.runtime.doorbell import Doorbell
from isthmus.sdk.connector import Delivery, DeliveryClass, Opened, Page, Receipt, Sink
from isthmus.sdk.errors import ConnectorError
from isthmus.store import log, receipts
from isthmus.store.face import Store
from isthmus.store.open import open_store
from tests.benchmarks.given import INSTANCE, KINDS, LANE, PAGE, STREAM, approvals, pages

LATENCY_PER_S = 200
LATENCY_S = 5


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger(Sink):
    """A peer with our key as its unique key; keeps what came, in the order it came."""

    accepts = KINDS
    batch_max = PAGE
    concurrency = 1  # one batch after the other, as peers do that take big ones

    def __init__(self) -> None:
        self.came: list[str] = []

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        await trio.lowlevel.checkpoint()
        self.came.append(delivery.event.id)
        return Receipt(remote_id=delivery.key[:12])

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Receipt | ConnectorError]:
        await trio.lowlevel.checkpoint()
        self.came += [delivery.event.id for delivery in deliveries]
        return [Receipt(remote_id=delivery.key[:12]) for delivery in deliveries]


class Arrivals(LaneMetrics):
    """The daemon's own metrics; besides notes how long each fact was under way, and when all have arrived."""

    def __init__(self, expected: int) -> None:
        metrics = Metrics()
        metrics.prepare([INSTANCE], [LANE], KINDS)
        super().__init__(metrics, _now)
        self.lags_s: list[float] = []
        self.all_came = trio.Event()
        self._expected = expected

    def delivered(self, lane: str, *lags_s: float) -> None:
        super().delivered(lane, *lags_s)
        self.lags_s += lags_s
        if len(self.lags_s) == self._expected:
            self.all_came.set()


@asynccontextmanager
async def lane_at_work(store: Store, sink: Sink, watch: LaneMetrics) -> AsyncIterator[Doorbell]:
    """One live lane over ``sink``; the bell that tells it of new facts."""
    peer, bell = Peer("erp"), Doorbell()
    peer.handover(Opened(sink=sink))
    lane = Lane(name=LANE, instance="erp", kinds=KINDS)
    actor = LaneActor(lane, peer=peer, store=store, bell=bell, now=_now, watch=watch)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        yield bell
        nursery.cancel_scope.cancel()


async def throughput(state_dir: Path, turn: int) -> dict[str, float]:
    """Record and deliver everything; the clock stops when the last receipt is on the disk."""
    events = approvals(turn=turn)
    sink, arrivals = Ledger(), Arrivals(len(events))
    async with open_store(state_dir) as store:
        before = await store.read(log.head)
        async with lane_at_work(store, sink, arrivals) as bell:
            began, cpu = time.perf_counter(), time.process_time()
            for number, page in enumerate(pages(events)):
                await record(store, INSTANCE, STREAM, Page(events=page, next=b"%d" % number), _now())
                bell.ring()
            recorded = time.perf_counter() - began
            await arrivals.all_came.wait()
            elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
        done = await store.read(lambda tx: len(receipts.done_since(tx, LANE, before)))
    check(sink, events, done)
    return {
        "events": len(events),
        "events_per_s": len(events) / elapsed,
        "recorded_per_s": len(events) / recorded,
        "cpu_s": cpu,
        "rss_mb": rss_mb(),
    }


async def latency(state_dir: Path, turn: int) -> dict[str, float]:
    """One event a page, `LATENCY_PER_S` pages a second: from the start of `record` to the receipt."""
    events = approvals(LATENCY_PER_S * LATENCY_S, turn=turn)
    sink, arrivals = Ledger(), Arrivals(len(events))
    async with open_store(state_dir) as store:
        async with lane_at_work(store, sink, arrivals) as bell, trio.open_nursery() as nursery:
            began = trio.current_time()

            async def tell(event: BusinessEvent) -> None:
                await record(store, INSTANCE, STREAM, Page(events=[event], next=b"x"), _now())
                bell.ring()

            for number, event in enumerate(events):
                await trio.sleep_until(began + number / LATENCY_PER_S)
                nursery.start_soon(tell, event)
            await arrivals.all_came.wait()
        done = await store.read(lambda tx: len(receipts.done_since(tx, LANE, 0)))
    check(sink, events, done)
    lags = sorted(arrivals.lags_s)
    return {
        "events": len(lags),
        "p50_ms": lags[len(lags) // 2] * 1e3,
        "p99_ms": lags[len(lags) * 99 // 100] * 1e3,
        "max_ms": lags[-1] * 1e3,
        "rss_mb": rss_mb(),
    }


def check(sink: Ledger, events: Sequence[BusinessEvent], receipted: int) -> None:
    """A figure counts only when everything arrived once and each subject's facts in their order.

    Raises:
        AssertionError: it did not.
    """
    told: dict[str, list[str]] = {}
    came: dict[str, list[str]] = {}
    for event in events:
        told.setdefault(event.subject, []).append(event.id)
    for event_id in sink.came:
        came.setdefault(event_id.split("/")[2], []).append(event_id)
    assert came == told, f"lost, doubled or out of order: {Counter(sink.came).most_common(3)}"
    assert receipted == len(events), f"{receipted} receipts for {len(events)} events"


def rss_mb() -> float:
    """The most memory this process had, in MB of 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["throughput", "latency"])
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--turn", type=int, default=0, help="another one brings other events")
    given = parser.parse_args()
    measure = throughput if given.what == "throughput" else latency
    print(json.dumps(trio.run(measure, given.state_dir, given.turn)))


if __name__ == "__main__":
    main()
