"""What one event costs, counted in rows and bytes: not more where there is more already.

Nothing is timed here. Each count has a planted bug beside it that must make it grow.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal as D
from functools import cache
from typing import Any, TypeVar

import msgspec
import pytest

from isthmus.events import BusinessEvent, CalendarTicked, ChargeDetermined
from isthmus.process.rules import agreements, books, holds, index
from isthmus.process.rules.billing import Billing
from isthmus.process.rules.contracts import cap_queue
from isthmus.process.rules.rows import Contract, Fact
from isthmus.process.states import MemoryStates
from tests.process.agreed import CARE, HOURS, amended, created, signed, told, unapproved, worked

T = TypeVar("T", bound=msgspec.Struct)
SIZES = (100, 1_000, 10_000)
FIRST = date(2026, 10, 1)
FITS = 50
"""Hours that fit under the cap of a full contract."""


class Cost(msgspec.Struct):
    """What was touched."""

    facts: int = 0
    """Facts that were looked at."""
    rows: int = 0
    """Rows read and rows written."""
    bytes: int = 0
    charges: int = 0


class Counted(MemoryStates):
    """Rows in memory that know what they cost."""

    def __init__(self) -> None:
        super().__init__()
        self.cost = Cost()

    def get(self, key: str, type: type[T]) -> T | None:
        self._count(key)
        self.cost.facts += type is Fact
        return super().get(key, type)

    def put(self, key: str, struct: msgspec.Struct) -> None:
        super().put(key, struct)
        self._count(key)

    def take(self, *events: BusinessEvent) -> Cost:
        """Let billing take them; what that cost."""
        self.cost = Cost()
        for event in events:
            derived = Billing().apply(event, self)
            self.cost.charges += sum(isinstance(each, ChargeDetermined) for each in derived)
        return self.cost

    def _count(self, key: str) -> None:
        self.cost.rows += 1
        self.cost.bytes += len(self.rows.get(key, b""))


def roomy() -> BusinessEvent:
    """The terms of a contract that takes all there is."""
    return signed(msgspec.structs.replace(HOURS, cap_amount=D("9000000.00")), CARE)


def full() -> BusinessEvent:
    """The terms of a contract on which all but the first few entries wait for room."""
    return signed(msgspec.structs.replace(HOURS, cap_amount=D(100 * FITS)))


def growing(terms: Callable[[], BusinessEvent], sizes: Sequence[int]) -> Iterator[tuple[int, Counted]]:
    """A contract as more and more entries lie on it, of one or two hours, over 300 days."""
    states = Counted()
    states.take(created("P1"), terms())
    there = 0
    for size in sizes:
        for number in range(there, size):
            hours = "1.00" if number < FITS else "2.00"
            states.take(worked(number, FIRST + timedelta(days=number % 300), hours=hours))
        there = size
        yield size, states


def cap_raised(size: int) -> BusinessEvent:
    """Room for one hour more."""
    room = FITS + SIZES.index(size) + 1
    return amended(size, msgspec.structs.replace(HOURS, cap_amount=D(100 * room)))


Growth = tuple[Callable[[], BusinessEvent], Callable[[int], BusinessEvent], int]
GROWTHS: dict[str, Growth] = {
    "an entry": (roomy, lambda size: worked(100_000 + size), 1),
    "an entry that waits": (full, lambda size: worked(100_000 + size), 0),
    "a withdrawal": (roomy, lambda size: unapproved(SIZES.index(size)), 1),
    "a withdrawal that frees room for one": (full, lambda size: unapproved(SIZES.index(size)), 2),
    "an amendment that makes room for one": (full, cap_raised, 1),
    "a day on which nothing is due": (
        roomy,
        lambda size: CalendarTicked(**told(), day=FIRST + timedelta(days=SIZES.index(size))),
        0,
    ),
}


def costs(terms: Callable[[], BusinessEvent], sizes: Sequence[int] = SIZES) -> dict[str, list[Cost]]:
    """What each event on such a contract costs at each size."""
    found: dict[str, list[Cost]] = {}
    for size, states in growing(terms, sizes):
        for name, (other, event, charges) in GROWTHS.items():
            if other is terms:
                found.setdefault(name, []).append(cost := states.take(event(size)))
                assert cost.charges == charges, f"{name} does what its name says"
    return found


once = cache(costs)


def check(small: Cost, *larger: Cost) -> None:
    for cost in larger:
        assert cost.facts <= small.facts + 1, "no more facts are looked at"
        assert cost.rows <= 2 * small.rows + 12, "an index is read to its depth and no further"
        assert cost.bytes <= 2 * small.bytes + 8_000, "no row grows"


@pytest.mark.parametrize("name", GROWTHS)
def test_it_costs_no_more_where_there_is_more_already(name: str) -> None:
    check(*once(GROWTHS[name][0])[name])


def test_a_tick_looks_at_no_contract_that_waits_for_a_later_day() -> None:
    found = []
    for count in (10, 1_000):
        states = Counted()
        for number in range(count):
            project = f"P{number}"
            states.take(created(project), signed(HOURS, contract=f"C{number}", project=project))
        states.take(created("PX"), signed(CARE, contract="CX", project="PX"))
        states.take(CalendarTicked(**told(), day=date(2026, 10, 30)))
        found.append(states.take(CalendarTicked(**told(), day=date(2026, 10, 31))))
    assert [cost.charges for cost in found] == [1, 1]
    assert found[0].rows == found[1].rows


def test_an_amendment_of_a_rate_looks_at_the_months_it_governs() -> None:
    found = []
    for months in (2, 8):
        states = Counted()
        states.take(created("P1"), signed(HOURS))
        for number in range(40 * months):
            # Forty in November, which the amendment governs; the others lie before it.
            day = date(2026, 11, 3) if number < 40 else date(2026, 10, 5)
            states.take(worked(number, day, hours="0.01"))
        found.append(states.take(amended(2, msgspec.structs.replace(HOURS, default_rate=D("90.00")))))
    assert [cost.charges for cost in found] == [80, 80], "each of the forty is reversed and charged anew"
    assert found[0].facts == found[1].facts


def _queue_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        holds, "_while_room", lambda desk, contract, pot: index.walk(desk.states, cap_queue(contract, pot))
    )


def _every_hold_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreements, "_bounds_alone_differ", lambda *_: False)


def _contract_remembers_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    index_worked = books.Books._index_worked

    def remembering(self: Any, fact: Fact, work: Any, contract: str) -> None:
        index_worked(self, fact, work, contract)
        row = self.states.get(f"contract:{contract}", Contract)
        row = msgspec.structs.replace(row, projects=[*row.projects, fact.key])
        self.states.put(f"contract:{contract}", row)

    monkeypatch.setattr(books.Books, "_index_worked", remembering)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        pytest.param("a withdrawal that frees room for one", _queue_scanned, id="the queue is scanned"),
        pytest.param("an amendment that makes room for one", _queue_scanned, id="so it is for an amendment"),
        pytest.param(
            "an amendment that makes room for one", _every_hold_looked_at, id="an amendment wakes every hold"
        ),
        pytest.param("an entry", _contract_remembers_entries, id="the contract's row grows"),
    ],
)
def test_the_counts_find_a_mutant(
    monkeypatch: pytest.MonkeyPatch, name: str, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    found = costs(GROWTHS[name][0], SIZES[:2])[name]
    with pytest.raises(AssertionError, match=r"no more facts|no row grows"):
        check(*found)
