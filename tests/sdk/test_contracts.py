"""The promises vendors inherit turn red for connectors that break them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from isthmus.events import BusinessEvent, CustomerChanged
from isthmus.sdk import Delivery, DeliveryClass, Link, Page, Receipt, Sink, Source, Unsure
from isthmus.sdk.testing import FakeContext, SinkCase, SinkContract, SourceContract, read_all

NOW = datetime(2026, 10, 5, tzinfo=UTC)


def changed(number: int, revision: int = 1) -> CustomerChanged:
    return CustomerChanged(
        source="crm",
        occurred_at=NOW,
        entity="acme",
        customer=f"crm:{number}",
        name=f"Customer {number}",
        currency="EUR",
        revision=revision,
    )


class Book(Source):
    """Five facts, two on a page; the cursor is the place."""

    streams = ("customers",)
    facts = tuple(changed(n) for n in range(5))

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        start = int(cursor or b"0")
        page = self.facts[start : start + 2]
        return Page(events=page, next=b"%d" % (start + len(page)), more=start + 2 < len(self.facts))


class Skipping(Book):
    """The mutant that loses a fact when it resumes where it did not just stop."""

    _next: bytes | None = None

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        page = await super().pull(stream, cursor)
        resumed = cursor not in (None, self._next)
        self._next = page.next
        return Page(events=page.events[1:] if resumed else page.events, next=page.next, more=page.more)


class Restless(Book):
    """The mutant whose revisions change with every reading."""

    def __init__(self) -> None:
        self._reading = 0

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        page = await super().pull(stream, cursor)
        self._reading += 1
        again = [changed(int(event.key[4:]), self._reading) for event in page.events]
        return Page(events=again, next=page.next, more=page.more)


class Endless(Book):
    """The mutant that always has one more page."""

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        return Page(events=[], next=b"0", more=True)


class TestBook(SourceContract):
    @pytest.fixture
    def source(self) -> Source:
        return Book()


async def test_a_source_that_loses_facts_on_resuming_is_caught() -> None:
    with pytest.raises(AssertionError):
        await SourceContract().test_resuming_from_any_cursor_loses_nothing(Skipping())


async def test_a_source_whose_ids_change_is_caught() -> None:
    with pytest.raises(AssertionError):
        await SourceContract().test_reading_again_from_the_start_gives_the_same_ids(Restless())


async def test_a_source_without_an_end_is_caught() -> None:
    with pytest.raises(AssertionError, match="no end"):
        await read_all(Endless(), "customers")


class Shelf:
    """A peer that keeps records and can lose its next answer."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self.lose = False

    def put(self, key: str) -> str:
        number = f"r{len(self.records) + 1}"
        self.records[number] = key
        if self.lose:
            self.lose = False
            raise Unsure("no answer")
        return number


class Careful(Sink):
    """Looks before it writes, and can find what it wrote."""

    kind = DeliveryClass.B

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return self.kind

    async def deliver(self, delivery: Delivery) -> Receipt:
        return await self.find(delivery) or self._receipt(delivery, self._shelf.put(delivery.event.key))

    async def find(self, delivery: Delivery) -> Receipt | None:
        for number, key in self._shelf.records.items():
            if key == delivery.event.key:
                return self._receipt(delivery, number)
        return None

    def _receipt(self, delivery: Delivery, number: str) -> Receipt:
        return Receipt(
            remote_id=number, links=[Link(kind="customer", key=delivery.event.key, remote_id=number)]
        )


class Sure(Careful):
    """The mutant that claims class A and writes again."""

    kind = DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        return self._receipt(delivery, self._shelf.put(delivery.event.key))


class Nameless(Careful):
    """The mutant whose receipts name nothing."""

    def _receipt(self, delivery: Delivery, number: str) -> Receipt:
        return Receipt(remote_id="")


def case(make: Callable[[Shelf], Sink]) -> SinkCase:
    shelf, ctx = Shelf(), FakeContext("erp")

    def lose() -> None:
        shelf.lose = True

    return SinkCase(
        sink=make(shelf),
        deliveries=[Delivery(key=f"k{n}", lane="to-erp", event=changed(n)) for n in range(3)],
        records=lambda: len(shelf.records),
        keep=lambda receipt: ctx.keep(receipt.links),
        lose_next_response=lose,
        expected=3,
    )


class TestCareful(SinkContract):
    @pytest.fixture
    def case(self) -> SinkCase:
        return case(Careful)


class Blind(Careful):
    """The mutant that finds nothing of what it wrote."""

    async def find(self, delivery: Delivery) -> Receipt | None:
        return None


@pytest.mark.parametrize(
    ("mutant", "promise"),
    [
        pytest.param(Sure, "test_the_same_deliveries_twice_make_the_same_records", id="a false class A"),
        pytest.param(Sure, "test_a_lost_response_doubles_nothing", id="a false class A, its answer lost"),
        pytest.param(Blind, "test_a_lost_response_doubles_nothing", id="a class B that cannot find"),
        pytest.param(Nameless, "test_every_receipt_names_a_record", id="a receipt without a name"),
    ],
)
async def test_a_sink_that_breaks_a_promise_is_caught(mutant: Any, promise: str) -> None:
    with pytest.raises(AssertionError):
        await getattr(SinkContract(), promise)(case(mutant))


async def test_numbered_batches_have_no_gaps_and_never_change() -> None:
    sequences = FakeContext("erp").sequences
    first = await sequences.freeze("out", ["a", "b"], lambda seq: b"batch %d" % seq)
    second = await sequences.freeze("out", ["c"], lambda seq: b"batch %d" % seq)
    assert (first.seq, second.seq, second.payload) == (1, 2, b"batch 2")
    with pytest.raises(ValueError, match="frozen already: b"):
        await sequences.freeze("out", ["b", "d"], lambda seq: b"x")
    assert await sequences.last("out") == second
    assert await sequences.frozen(["a", "z"]) == {"a": first}
    assert await sequences.batch("out", 3) is None


async def test_blocking_work_past_its_deadline_leaves_doubt() -> None:
    with pytest.raises(Unsure, match=r"0\.05"):
        await FakeContext("erp").run_blocking(time.sleep, 0.5, deadline_s=0.05)


def test_a_key_has_one_record_and_a_record_one_key() -> None:
    """The daemon opens a work item for such a link; a test must not pass over it."""
    context = FakeContext("erp")
    context.keep(
        [Link(kind="project", key="crm:1", remote_id="7"), Link(kind="project", key="crm:1", remote_id="7")]
    )
    for key, remote in (("crm:1", "8"), ("crm:2", "7")):
        with pytest.raises(AssertionError, match="the daemon would open a work item"):
            context.keep([Link(kind="project", key=key, remote_id=remote)])
