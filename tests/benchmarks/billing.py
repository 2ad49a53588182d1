"""What billing costs: determinations a second, and whether an event costs more, the more there is already.

``rules`` are the pure rules over rows in memory. ``actor`` is the process actor over the store's file: facts
lie in the log, and the clock stops when the position of billing is behind the last of them, so that what is
derived is durable. Each approved hour is one determination: one charge, one event.
"""

import argparse
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import median

import trio

from isthmus.events import BusinessEvent, CalendarTicked, ContractLine, Retainer, TimeAndMaterials
from isthmus.process.actor import ProcessSurroundings, run_process
from isthmus.process.rules.billing import Billing
from isthmus.process.states import MemoryStates
from isthmus.runtime.doorbell import Doorbell
from isthmus.store import lanes, log
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_store
from tests.process.agreed import amended, created, signed, told, unapproved, worked

ENTRIES, CONTRACTS = 10_000, 1_000
EARLY, LATE = 100, 10_000
"""How much there is already on either side of a comparison."""
PIECES, PIECE = 5, 100
"""Either side is timed in turns, so many events at a time; the median of the turns counts."""
DUE = 10_000
"""Contracts that one day makes due."""
LANE = "billing"
FIRST = date(2026, 10, 1)
NEVER_FULL = Decimal("9000000.00")
CHARGE = frozenset({"charge.determined"})
CARE = Retainer(
    line="R",
    amount=Decimal("50.00"),
    every="month",
    starts_on=FIRST,
    included_hours=Decimal("5.00"),
    overage_rate=Decimal("100.00"),
)


class Place(ABC):
    """Billing, somewhere; empty at first."""

    @abstractmethod
    async def take(self, facts: Sequence[BusinessEvent]) -> float:
        """Let billing take them; the seconds from when they are there until it is done with the last."""

    @abstractmethod
    async def charges(self) -> int:
        """How many charges and reversals were said so far."""


Opened = AbstractAsyncContextManager[Place]


class InMemory(Place):
    """Counts seconds of the processor, so that others on the machine do not matter."""

    def __init__(self) -> None:
        self._states = MemoryStates()
        self._charges = 0

    async def take(self, facts: Sequence[BusinessEvent]) -> float:
        began = time.process_time()
        derived = [event for fact in facts for event in Billing().apply(fact, self._states)]
        elapsed = time.process_time() - began
        self._charges += sum(event.kind in CHARGE for event in derived)
        return elapsed

    async def charges(self) -> int:
        return self._charges


class OnDisk(Place):
    def __init__(self, store: Store) -> None:
        self._store = store
        self._bell = Doorbell()
        self._turned = trio.Event()

    async def run(self) -> None:
        around = ProcessSurroundings(
            lane=LANE, store=self._store, bell=self._bell, now=partial(datetime.now, UTC), beat=self._beat
        )
        await run_process(Billing(), around)

    def _beat(self) -> None:
        self._turned.set()
        self._turned = trio.Event()

    async def take(self, facts: Sequence[BusinessEvent]) -> float:
        last = (await self._store.write(lambda tx: log.append(tx, facts, datetime.now(UTC)))).new[-1]
        began = time.perf_counter()
        self._bell.ring()
        turned = self._turned
        while await self._store.read(lambda tx: lanes.position(tx, LANE)) < last:
            await turned.wait()
            turned = self._turned
        return time.perf_counter() - began

    async def charges(self) -> int:
        return await self._store.read(_count)

    async def longest_wait(self, busy: trio.CancelScope) -> float:
        """Seconds that somebody else's small commits took at most, until ``busy`` is cancelled."""
        longest = 0.0
        with busy:
            while True:
                began = time.perf_counter()
                await self._store.write(lambda tx: lanes.advance(tx, "other", 1))
                longest = max(longest, time.perf_counter() - began)
                await trio.sleep(0.002)
        return longest


def _count(tx: Tx) -> int:
    count = seq = 0
    while seq < log.head(tx):
        found, seq = log.read_after(tx, seq, CHARGE, log.SCAN_WINDOW)
        count += len(found)
    return count


@asynccontextmanager
async def in_memory(name: str) -> AsyncIterator[Place]:
    yield InMemory()


@asynccontextmanager
async def on_disk(state_dir: Path, name: str) -> AsyncIterator[OnDisk]:
    async with open_store(state_dir / name) as store, trio.open_nursery() as nursery:
        place = OnDisk(store)
        nursery.start_soon(place.run)
        yield place
        nursery.cancel_scope.cancel()


def contracts(count: int, *lines: ContractLine) -> list[BusinessEvent]:
    """Projects P0, P1 ..., each with its contract."""
    return [
        event
        for number in range(count)
        for event in (created(f"P{number}"), signed(*lines, contract=f"C{number}", project=f"P{number}"))
    ]


def entries(numbers: Iterable[int], projects: int = 1, hours: str = "1.00") -> list[BusinessEvent]:
    """Entries on 300 days and on all projects in turn."""
    return [
        worked(number, FIRST + timedelta(days=number % 300), project=f"P{number % projects}", hours=hours)
        for number in numbers
    ]


def hours(cap: Decimal = NEVER_FULL) -> TimeAndMaterials:
    return TimeAndMaterials(line="T", default_rate=Decimal("100.00"), cap_amount=cap)


async def speed(name: str, opened: Opened, projects: int) -> dict[str, float]:
    """Determinations per second, and per second of the processor, recording the entries included."""
    async with opened as place:
        await place.take(contracts(projects, hours()))
        given = entries(range(ENTRIES), projects)
        cpu = time.process_time()
        took = await place.take(given)
        cpu = time.process_time() - cpu
        assert await place.charges() == ENTRIES
    return {f"{name}_per_s": ENTRIES / took, f"{name}_per_core_s": ENTRIES / cpu}


async def growth(
    opened: Callable[[str], Opened],
    there: Callable[[int], list[BusinessEvent]],
    more: Callable[[int], list[BusinessEvent]],
    charges: int,
) -> float:
    """How many times as long an event takes where `LATE` are there already as where `EARLY` are.

    Args:
        there: What is there already, by its size.
        more: The n-th piece that is timed.
        charges: How many charges and reversals a piece gives.
    """
    async with opened("early") as early, opened("late") as late:
        took: dict[Place, list[float]] = {early: [], late: []}
        for place, size in ((early, EARLY), (late, LATE)):
            await place.take(there(size))
            before = await place.charges()
            await place.take(more(0))  # the first is for warming up
            assert await place.charges() == before + charges
        for number in range(1, PIECES + 1):
            for place, found in took.items():
                found.append(await place.take(more(number)))
        return median(took[late]) / median(took[early])


def piece(number: int) -> range:
    return range(number * PIECE, (number + 1) * PIECE)


async def billed(opened: Callable[[str], Opened]) -> float:
    """One more entry on a contract."""
    return await growth(
        opened,
        lambda size: contracts(1, hours()) + entries(range(size)),
        lambda number: entries(LATE + each for each in piece(number)),
        charges=PIECE,
    )


async def woken(opened: Callable[[str], Opened]) -> float:
    """A withdrawal that frees room for an hour of the oldest of the long entries that wait."""
    fit = PIECE * (PIECES + 1)
    return await growth(
        opened,
        lambda size: (
            contracts(1, hours(Decimal(100 * fit)))
            + entries(range(fit))
            + entries(range(fit, fit + size), hours="24.00")
        ),
        lambda number: [unapproved(each, project="P0") for each in piece(number)],
        charges=2 * PIECE,
    )


async def raised(opened: Callable[[str], Opened]) -> float:
    """An amendment that makes room for one of the entries the cap keeps waiting."""
    return await growth(
        opened,
        lambda size: contracts(1, hours(Decimal(100))) + entries(range(size + 1)),
        lambda number: [
            amended(each + 2, hours(Decimal(100 * (each + 2))), contract="C0", project="P0")
            for each in range(number * 5, number * 5 + 5)
        ],
        charges=5,
    )


async def ticked(opened: Callable[[str], Opened]) -> float:
    """A day on which nothing is due; here it is contracts that there are already."""
    return await growth(
        opened,
        lambda size: contracts(size, hours()),
        lambda number: [CalendarTicked(**told(), day=FIRST + timedelta(days=each)) for each in piece(number)],
        charges=0,
    )


async def due(state_dir: Path) -> dict[str, float]:
    """One day makes `DUE` retainers due: how long that takes, and how long somebody else waits meanwhile."""
    waited: list[float] = []
    busy = trio.CancelScope()
    async with on_disk(state_dir, "due") as place, trio.open_nursery() as nursery:
        await place.take(contracts(DUE, CARE))

        async def watch() -> None:
            waited.append(await place.longest_wait(busy))

        nursery.start_soon(watch)
        took = await place.take([CalendarTicked(**told(), day=FIRST)])
        busy.cancel()
        assert await place.charges() == DUE
    return {"due_per_s": DUE / took, "longest_wait_ms": waited[0] * 1e3}


async def measure(opened: Callable[[str], Opened]) -> dict[str, float]:
    """What happens all day."""
    return {
        **await speed("one_contract", opened("one"), 1),
        **await speed("many_contracts", opened("many"), CONTRACTS),
        "billed_growth": await billed(lambda name: opened(f"billed-{name}")),
        "woken_growth": await woken(lambda name: opened(f"woken-{name}")),
    }


async def rules() -> dict[str, float]:
    """All in memory; what happens seldom only here, where no commit hides what it costs."""
    return {
        **await measure(in_memory),
        "raised_growth": await raised(in_memory),
        "ticked_growth": await ticked(in_memory),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rules", "actor", "due"])
    parser.add_argument("state_dir", type=Path)
    given = parser.parse_args()
    if given.what == "rules":
        figures = trio.run(rules)
    elif given.what == "actor":
        figures = trio.run(measure, partial(on_disk, given.state_dir))
    else:
        figures = trio.run(due, given.state_dir)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
