"""The kit that measures reading tells a source that keeps a page from one that keeps everything."""

from datetime import UTC, datetime

from isthmus.events import CustomerChanged
from isthmus.sdk import Page, Source
from isthmus.sdk.testing import peak_of_reading

PAGE = 100


class Customers(Source):
    """So many customers, a page at a time; a hoarder keeps them all."""

    streams = ("customers",)

    def __init__(self, count: int, *, hoards: bool = False) -> None:
        self._count, self._hoards = count, hoards
        self._kept: list[CustomerChanged] = []

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        start = int(cursor or b"0")
        stop = min(start + PAGE, self._count)
        events = [customer(n) for n in range(start, stop)]
        if self._hoards:
            self._kept += events
        return Page(events=events, next=str(stop).encode(), more=stop < self._count)


def customer(n: int) -> CustomerChanged:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return CustomerChanged(
        source="crm", occurred_at=at, entity="de", customer=f"crm:{n}", name=f"Customer {n}", currency="EUR"
    )


async def test_the_peak_of_paging_does_not_grow_with_the_peer() -> None:
    few, small = await peak_of_reading(Customers(500), "customers")
    many, large = await peak_of_reading(Customers(5_000), "customers")
    assert (few, many) == (500, 5_000)
    assert large < 1.5 * small


async def test_a_source_that_keeps_everything_is_seen() -> None:
    _, small = await peak_of_reading(Customers(500, hoards=True), "customers")
    _, large = await peak_of_reading(Customers(5_000, hoards=True), "customers")
    assert large > 5 * small
