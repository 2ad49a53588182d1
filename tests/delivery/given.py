"""A lane at work in virtual time, and facts to give it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import trio
from trio.testing import MockClock

from isthmus.delivery.actor import LaneActor
from isthmus.delivery.gate import Gate
from isthmus.delivery.lane import Lane, LaneWatch
from isthmus.delivery.peer import Peer
from isthmus.delivery.policy import Breaker, RetryPolicy
from isthmus.events import BusinessEvent, CustomerChanged
from isthmus.runtime.doorbell import Doorbells
from isthmus.runtime.supervisor import Parking, supervise
from isthmus.sdk.connector import Opened, Sink
from isthmus.store import dead_letters, deliveries, intents, lanes, log, receipts
from isthmus.store.errors import StoreFailed
from isthmus.store.face import Store, Tx

T = TypeVar("T")


def _run_fast(test: Callable[..., Any], **how: Any) -> Any:
    return trio.run(test, **{**how, "clock": MockClock(autojump_threshold=0)})


IN_VIRTUAL_TIME = pytest.mark.trio(run=_run_fast)
"""The clock jumps whenever everybody waits. Only with a store that runs inline."""

START = datetime(2026, 10, 30, 12, tzinfo=UTC)
KINDS = frozenset({"customer.changed"})
LANE = "erp.customers"
INSTANCE = "erp"
PATIENT = RetryPolicy(first_s=1.0, max_s=60.0, max_age_s=3600.0)


def now() -> datetime:
    """Trio's clock, virtual or not, as an aware instant."""
    return START + timedelta(seconds=trio.current_time())


def fact(subject: str, n: int = 1, **changes: Any) -> CustomerChanged:
    """The ``n``-th change of a customer; its id is ``crm/customer.changed/<subject>/<n>``."""
    fields: dict[str, Any] = {
        "source": "crm",
        "occurred_at": START,
        "entity": "de01",
        "customer": subject,
        "name": f"Customer {subject}",
        "currency": "EUR",
        "revision": n,
    }
    return CustomerChanged(**{**fields, **changes})


def event_id(subject: str, n: int = 1) -> str:
    return f"crm/customer.changed/{subject}/{n}"


def a_lane(**changes: Any) -> Lane:
    fields: dict[str, Any] = {"name": LANE, "instance": INSTANCE, "kinds": KINDS, "retry": PATIENT}
    return Lane(**{**fields, **changes})


def never_breaks() -> Breaker:
    """For tests of what single deliveries do; the breaker has tests of its own."""
    return Breaker(limit=10**9)


class Stands(Parking):
    """Parking in memory."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self._resumed: dict[str, trio.Event] = {}

    async def park(self, actor: str, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.reasons[actor] = reason
        self._resumed[actor] = trio.Event()

    async def wait_resumed(self, actor: str) -> None:
        await self._resumed[actor].wait()

    def resume(self, actor: str) -> None:
        del self.reasons[actor]
        self._resumed[actor].set()


class Noted(LaneWatch):
    """What a lane told whoever looks on."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.dead_reasons: list[str] = []

    def attempted(self, lane: str, outcome: str, n: int) -> None:
        self.attempts += [outcome] * n

    def dead(self, lane: str, reason: str) -> None:
        self.dead_reasons.append(reason)


class SlowReads(Store):
    """A store whose reads come back late: whatever can happen between a look and its use, happens."""

    def __init__(self, inner: Store, delay_s: float) -> None:
        self._inner = inner
        self._delay_s = delay_s
        self.path: Path = inner.path
        self.generation = inner.generation
        self.failed = inner.failed

    @property
    def failure(self) -> StoreFailed | None:
        return self._inner.failure

    async def write(self, unit: Callable[[Tx], T]) -> T:
        return await self._inner.write(unit)

    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        found = await self._inner.read(unit, limit_s=limit_s)
        await trio.sleep(self._delay_s)
        return found

    async def backup(self, target: Path) -> None:
        await self._inner.backup(target)

    def wal_bytes(self) -> int:
        return self._inner.wal_bytes()


class Road:
    """Lanes of one instance over one store, each supervised as in the daemon."""

    def __init__(self, store: Store, peer: Peer | None = None) -> None:
        self.store = store
        self.peer = peer or Peer(INSTANCE, never_breaks())
        self.bells = Doorbells()
        self.parking = Stands()
        self.watch = Noted()
        self.gate: Gate | None = None
        self.confirms: frozenset[str] = frozenset()
        self.actors: dict[str, LaneActor] = {}
        self.restarts: list[str] = []

    async def tell(self, facts: Iterable[BusinessEvent]) -> None:
        """Put facts into the log and ring."""
        at = now()
        told = list(facts)
        await self.store.write(lambda tx: log.append(tx, told, at))
        self.bells.ring_all()

    @asynccontextmanager
    async def at_work(self, sink: Sink | None, *lanes: Lane) -> AsyncIterator["Road"]:
        """The lanes run inside the block; leaving it cancels them, as a stop does."""
        if sink is not None:
            self.peer.handover(Opened(sink=sink))
        names = [lane.name for lane in lanes]
        async with trio.open_nursery() as nursery:
            for lane in lanes:
                actor = LaneActor(
                    lane,
                    peer=self.peer,
                    store=self.store,
                    bell=self.bells.of(lane.name),
                    now=now,
                    announce=self.bells.ring_all,
                    sibling_lanes=names,
                    wake=self._wake,
                    watch=self.watch,
                    gate=self.gate,
                    confirms=self.confirms,
                )
                self.actors[lane.name] = actor
                nursery.start_soon(self._supervise, lane.name, actor.run)
            yield self
            nursery.cancel_scope.cancel()

    def _wake(self, woken: Sequence[str]) -> None:
        for name in woken:
            self.bells.of(name).ring()

    async def _supervise(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        await supervise(
            name, run, parking=self.parking, fatal=(StoreFailed,), on_restart=self.restarts.append
        )

    async def retry_all(self, lane: str = LANE) -> None:
        """What `exception retry` does to every open work item of a lane."""
        at = now()

        def unit(tx: Tx) -> None:
            for letter in dead_letters.listing(tx, dead_letters.Filter(lane_or_source=lane, limit=10_000)):
                assert letter.seq is not None
                deliveries.revive(tx, lane, letter.seq, at)
                dead_letters.mark(tx, letter.id, "retrying", "finance", at)

        await self.store.write(unit)
        self.bells.ring_all()

    async def stands(self, lane: str = LANE) -> "Stand":
        """What the store says of a lane."""

        def unit(tx: Tx) -> Stand:
            everything = log.search(tx, limit=100_000)
            wanted = dead_letters.Filter(state=None, lane_or_source=lane, limit=10_000)
            return Stand(
                receipts={
                    row.id: receipt.remote_id
                    for row in everything
                    if (receipt := receipts.get(tx, lane, row.seq)) is not None
                },
                details={
                    row.id: receipt.detail
                    for row in everything
                    if (receipt := receipts.get(tx, lane, row.seq)) is not None
                },
                rows={
                    row.id: held
                    for row in everything
                    if (held := deliveries.get(tx, lane, row.seq)) is not None
                },
                letters=dead_letters.listing(tx, wanted),
                position=lanes.position(tx, lane),
                head=log.head(tx),
                unfinished=len(intents.unfinished(tx, lane)),
            )

        return await self.store.read(unit)


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """How a lane stands, by event id."""

    receipts: dict[str, str]
    details: dict[str, str]
    rows: dict[str, deliveries.Delivery]
    letters: Sequence[dead_letters.DeadLetter]
    position: int
    head: int
    unfinished: int
