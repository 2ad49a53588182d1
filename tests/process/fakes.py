"""Two processes small enough to check by eye, and an actor at work on them in virtual time."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import trio

from isthmus.events import BurnRevised, BusinessEvent, ChargeWaived, CustomerChanged, TimeApproved
from isthmus.events.base import derived_id
from isthmus.process.actor import ProcessSurroundings, run_analytical, run_process
from isthmus.process.face import AnalyticalProcess, Process, States
from isthmus.runtime.doorbell import Doorbell
from isthmus.store import dead_letters, lanes, log, states
from isthmus.store.face import Store, Tx

START = datetime(2026, 10, 30, 12, tzinfo=UTC)
LANE = "our.lane"
WINDOW_S = 60.0


def now() -> datetime:
    """Trio's clock as an aware instant."""
    return START + timedelta(seconds=trio.current_time())


def work(entry: str, hours: str = "1.00", project: str = "P1", entity: str = "de01") -> TimeApproved:
    """A time entry; one whose name begins with ``bad`` breaks the process that takes it."""
    return TimeApproved(
        source="psa",
        occurred_at=START,
        entity=entity,
        entry=entry,
        revision=1,
        project=project,
        resource="R1",
        service="consulting",
        worked_on=date(2026, 10, 29),
        hours=Decimal(hours),
        billable=True,
        approved_on=date(2026, 10, 30),
    )


def noise(customer: str) -> CustomerChanged:
    """A fact neither process consumes."""
    return CustomerChanged(
        source="crm", occurred_at=START, entity="de01", customer=customer, name=customer, currency="EUR"
    )


class Total(msgspec.Struct, frozen=True, kw_only=True):
    hours: Decimal = Decimal(0)
    entries: list[str] = []


def _added(event: BusinessEvent, states: States) -> Total:
    assert isinstance(event, TimeApproved)
    old = states.get(f"total:{event.project}", Total) or Total()
    new = Total(hours=old.hours + event.hours, entries=[*old.entries, event.entry])
    states.put(f"total:{event.project}", new)
    if event.entry.startswith("bad"):
        # Broken only now: what it has put must not be kept either.
        raise ZeroDivisionError(event.entry)
    return new


class Tally:
    """Says after each entry how many hours its project has so far."""

    name = "tally"
    consumes = frozenset({"time.approved"})

    def apply(self, event: BusinessEvent, states: States) -> list[BusinessEvent]:
        total = _added(event, states)
        assert isinstance(event, TimeApproved)
        return [
            ChargeWaived(
                id=derived_id(self.name, "charge.waived", event.id, 1),
                source=self.name,
                occurred_at=event.occurred_at,
                entity=event.entity,
                origin="time",
                origin_key=event.entry,
                origin_revision=1,
                reason="included",
                quantity=total.hours,
                project=event.project,
            )
        ]


class Totals:
    """States the hours of each project that changed."""

    name = "totals"
    consumes = frozenset({"time.approved"})

    def __init__(self, unpublishable: str = "") -> None:
        self._unpublishable = unpublishable

    def apply(self, event: BusinessEvent, states: States) -> set[str]:
        _added(event, states)
        assert isinstance(event, TimeApproved)
        return {event.project}

    def publish(self, key: str, states: States, as_of: datetime, basis: list[str]) -> list[BusinessEvent]:
        if key == self._unpublishable:
            raise ZeroDivisionError(key)
        total = states.get(f"total:{key}", Total)
        assert total is not None
        return [
            BurnRevised(
                id=derived_id(self.name, "burn.revised", basis[-1], 1) + f"/{key}",
                source=self.name,
                occurred_at=as_of,
                entity="de01",
                burn=key,
                project=key,
                resource="R1",
                worked_on=date(2026, 10, 29),
                billable_hours=total.hours,
                nonbillable_hours=Decimal(0),
                basis=basis,
            )
        ]


class AtWork:
    """An actor that runs."""

    def __init__(self, store: Store) -> None:
        self.bell = Doorbell()
        self.announced = 0
        self.turns = 0
        self._store = store

    def announce(self) -> None:
        self.announced += 1

    def beat(self) -> None:
        self.turns += 1

    async def tell(self, *events: BusinessEvent) -> None:
        """Put facts into the log and ring."""
        await tell(self._store, events)
        self.bell.ring()


@asynccontextmanager
async def at_work(
    process: Process | AnalyticalProcess, store: Store, *, entities: frozenset[str] | None = None
) -> AsyncIterator[AtWork]:
    """The actor runs inside the block; leaving it cancels, as a stop does."""
    actor = AtWork(store)
    around = ProcessSurroundings(
        lane=LANE,
        store=store,
        bell=actor.bell,
        now=now,
        entities=entities,
        announce=actor.announce,
        beat=actor.beat,
    )

    async def run() -> None:
        if isinstance(process, Totals):
            await run_analytical(process, around, lag_window_s=WINDOW_S)
        assert isinstance(process, Tally)
        await run_process(process, around)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield actor
        nursery.cancel_scope.cancel()


async def tell(store: Store, events: Iterable[BusinessEvent]) -> None:
    at, told = now(), list(events)
    await store.write(lambda tx: log.append(tx, told, at))


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process left in the store."""

    said: list[Any]
    """The derived events, in log order."""
    rows: dict[str, str]
    position: int
    letters: list[dead_letters.DeadLetter]

    @property
    def tally(self) -> list[tuple[str, str]]:
        """Entry and running total of each `Tally` event."""
        return [(event.origin_key, str(event.quantity)) for event in self.said]

    @property
    def totals(self) -> list[tuple[str, str, list[str]]]:
        """Project, hours and the entries behind them of each `Totals` event."""
        return [
            (event.project, str(event.billable_hours), [each.split("/")[2] for each in event.basis])
            for event in self.said
        ]


async def stand(store: Store, process: str) -> Stand:
    def unit(tx: Tx) -> Stand:
        return Stand(
            said=[event for row in log.search(tx, limit=100_000) if (event := row.event()).source == process],
            rows=dict(states.page(tx, process)),
            position=lanes.position(tx, LANE),
            letters=dead_letters.listing(tx, dead_letters.Filter(state=None)),
        )

    return await store.read(unit)
