"""Ties and rows that appear late: the promises, and sources that break each of them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.events import CustomerChanged
from isthmus.sdk import Page, Source
from isthmus.sdk.testing import LateCase, LateContract

START = datetime(2026, 10, 5, tzinfo=UTC)
OVERLAP = timedelta(seconds=120)
TIES = "test_rows_of_one_stamp_are_not_lost_at_a_page_edge"
TWIN = "test_a_row_of_a_stamp_already_read_is_not_lost"
LATE = "test_rows_that_appear_behind_the_cursor_after_each_page_are_not_lost"


class Table:
    """A peer's table: rows by stamp and number, visible when they were added."""

    def __init__(self) -> None:
        self.now = START
        self.rows: list[tuple[datetime, int]] = []

    def add(self, count: int, late_s: float) -> list[str]:
        new = [(self.now - timedelta(seconds=late_s), len(self.rows) + n) for n in range(count)]
        self.rows += new
        return [f"crm:{number}" for _, number in new]

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def after(self, stamp: datetime, number: int) -> list[tuple[datetime, int]]:
        return sorted(row for row in self.rows if row > (stamp, number))


def fact(stamp: datetime, number: int, revision: int = 1) -> CustomerChanged:
    return CustomerChanged(
        source="crm",
        occurred_at=stamp,
        entity="acme",
        customer=f"crm:{number}",
        name=f"Customer {number}",
        currency="EUR",
        revision=revision,
    )


class Keyset(Source):
    """Reads by (stamp, number), three a page, and after the last page steps back by the overlap."""

    streams = ("customers",)
    page = 3
    overlap = OVERLAP

    def __init__(self, table: Table) -> None:
        self.table = table

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        stamp, number = self.read(cursor)
        found = self.table.after(stamp, number)
        rows, more = found[: self.page], len(found) > self.page
        return Page(events=self.facts(rows), next=self.step(rows, stamp, number, more), more=more)

    def read(self, cursor: bytes | None) -> tuple[datetime, int]:
        if cursor is None:
            return START - timedelta(days=1), 0
        stamp, _, number = cursor.decode().partition(" ")
        return datetime.fromisoformat(stamp), int(number)

    def facts(self, rows: Iterable[tuple[datetime, int]]) -> list[CustomerChanged]:
        return [fact(*row) for row in rows]

    def step(self, rows: list[tuple[datetime, int]], stamp: datetime, number: int, more: bool) -> bytes:
        last = rows[-1] if rows else (stamp, number)
        if not more:
            last = (self.table.now - self.overlap, 0)
        return f"{last[0].isoformat()} {last[1]}".encode()


class ByStamp(Keyset):
    """The mutant whose cursor is the stamp alone: a page that ends among ties loses the rest of them."""

    def step(self, rows: list[tuple[datetime, int]], stamp: datetime, number: int, more: bool) -> bytes:
        whole = super().step(rows, stamp, number, more)
        return whole.partition(b" ")[0] + b" 999999" if more else whole


class NoOverlap(Keyset):
    """The mutant that never looks back."""

    overlap = timedelta(0)


class Rereading(Keyset):
    """The mutant that numbers revisions by its own readings."""

    readings = 0

    def facts(self, rows: Iterable[tuple[datetime, int]]) -> list[CustomerChanged]:
        self.readings += 1
        return [fact(*row, revision=self.readings) for row in rows]


def late_case(kind: type[Keyset] = Keyset) -> LateCase:
    table = Table()
    return LateCase(source=kind(table), stream="customers", add=table.add, advance=table.advance)


class TestKeyset(LateContract):
    @pytest.fixture
    def late_case(self) -> LateCase:
        return late_case()


@pytest.mark.parametrize(
    ("mutant", "promise"),
    [
        pytest.param(ByStamp, TIES, id="a cursor that is only a stamp"),
        pytest.param(NoOverlap, TWIN, id="no overlap, and a twin of a row already read"),
        pytest.param(NoOverlap, LATE, id="no overlap, and rows that appear late"),
        pytest.param(Rereading, LATE, id="revisions of its own making"),
    ],
)
async def test_a_source_that_misses_or_doubles_rows_is_caught(mutant: type[Keyset], promise: str) -> None:
    with pytest.raises(AssertionError, match=r"never told|two ids"):
        await getattr(LateContract(), promise)(late_case(mutant))
