"""What every source and sink promises. Inherit, give the fixture, and pytest-trio runs the promises::

class TestKantataSource(SourceContract):
    @pytest.fixture
    async def source(self, ...):
        yield opened.source
"""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import trio.testing

from isthmus.events import BusinessEvent, decode, encode
from isthmus.sdk.connector import Delivery, DeliveryClass, Receipt, Sink, Source
from isthmus.sdk.errors import Unsure
from isthmus.sdk.testing.cancel import cancels

PAGES_MAX = 10_000


async def read_all(
    source: Source, stream: str, cursor: bytes | None = None
) -> tuple[list[BusinessEvent], list[bytes]]:
    """Everything a stream has from ``cursor`` on, and the cursor after each page."""
    events: list[BusinessEvent] = []
    cursors: list[bytes] = []
    for _ in range(PAGES_MAX):
        page = await source.pull(stream, cursor)
        events.extend(page.events)
        cursor = page.next
        cursors.append(cursor)
        if not page.more:
            return events, cursors
    raise AssertionError(f"{stream} gave {PAGES_MAX} pages and no end")


class SourceContract:
    """Give a fixture ``source``: an open source whose peer holds facts on several pages."""

    async def test_reading_again_from_the_start_gives_the_same_ids(self, source: Source) -> None:
        for stream in source.streams:
            first, _ = await read_all(source, stream)
            again, _ = await read_all(source, stream)
            assert {event.id for event in again} == {event.id for event in first}, stream

    async def test_resuming_from_any_cursor_loses_nothing(self, source: Source) -> None:
        for stream in source.streams:
            whole: list[BusinessEvent] = []
            before: list[set[str]] = [set()]
            _, cursors = await read_all(source, stream)
            cursor: bytes | None = None
            for next_cursor in cursors:
                page = await source.pull(stream, cursor)
                whole.extend(page.events)
                before.append({event.id for event in whole})
                cursor = next_cursor
            every = {event.id for event in whole}
            for seen, start in zip(before, [None, *cursors], strict=True):
                rest, _ = await read_all(source, stream, start)
                assert seen | {event.id for event in rest} == every, stream

    async def test_every_fact_survives_the_log(self, source: Source) -> None:
        for stream in source.streams:
            events, _ = await read_all(source, stream)
            assert all(decode(encode(event)) == event for event in events), stream

    async def test_a_pull_cancelled_at_any_await_can_be_made_again(self, source: Source) -> None:
        for stream in source.streams:
            first = {event.id for event in (await source.pull(stream, None)).events}
            async for point in cancels(partial(source.pull, stream, None)):
                again = {event.id for event in (await source.pull(stream, None)).events}
                assert again >= first, f"{stream}, cancelled at await {point}"


class SinkCase(msgspec.Struct, frozen=True, kw_only=True):
    """An open sink, deliveries it can take now, in order, and a way to count what the peer then holds.

    ``records`` returns the number of business records in the peer that these deliveries made.
    ``lose_next_response`` makes the peer do the next write and break the connection.
    ``expected`` is that number after each delivery was made once, however often it was tried; give it, or a
    sink that looks up its records in vain and makes them again is not caught.
    """

    sink: Sink
    deliveries: Sequence[Delivery]
    records: Callable[[], int]
    keep: Callable[[Receipt], None]
    lose_next_response: Callable[[], None]
    expected: int | None = None


class SinkContract:
    """Give a fixture ``case``: a `SinkCase`."""

    async def test_the_same_deliveries_twice_make_the_same_records(self, case: SinkCase) -> None:
        first = [await _deliver(case, delivery) for delivery in case.deliveries]
        held = case.records()
        again = [await _deliver(case, delivery) for delivery in case.deliveries if _safe(case, delivery)]
        assert held > 0
        assert case.records() == held
        assert {receipt.remote_id for receipt in again} <= {receipt.remote_id for receipt in first}

    async def test_every_receipt_names_a_record(self, case: SinkCase) -> None:
        for delivery in case.deliveries:
            assert (await _deliver(case, delivery)).remote_id

    async def test_a_lost_response_doubles_nothing(self, case: SinkCase) -> None:
        for delivery in case.deliveries:
            case.lose_next_response()
            try:
                receipt = await case.sink.deliver(delivery)
            except Unsure:
                match case.sink.delivery_class(delivery.event):
                    case DeliveryClass.A:
                        receipt = await case.sink.deliver(delivery)
                    case DeliveryClass.B:
                        found = await case.sink.find(delivery)
                        receipt = found or await case.sink.deliver(delivery)
                    case DeliveryClass.C:
                        continue
            case.keep(receipt)
        held = case.records()
        assert case.expected is None or held == case.expected
        for delivery in case.deliveries:
            if _safe(case, delivery):
                await _deliver(case, delivery)
        assert case.records() == held

    async def test_a_delivery_cancelled_at_any_await_doubles_nothing(self, case: SinkCase) -> None:
        for delivery in case.deliveries:
            kind = case.sink.delivery_class(delivery.event)
            if kind is DeliveryClass.C:
                case.keep(await case.sink.deliver(delivery))
                continue
            async for _ in cancels(partial(case.sink.deliver, delivery)):
                if kind is DeliveryClass.B:
                    # The peer may be at it still: this is what `Sink.worst_commit_s` is for.
                    await trio.testing.wait_all_tasks_blocked(0.01)
                    if await case.sink.find(delivery) is not None:
                        break
            found = await case.sink.find(delivery) if kind is DeliveryClass.B else None
            case.keep(found or await case.sink.deliver(delivery))
        assert case.expected is None or case.records() == case.expected
        held = case.records()
        for delivery in case.deliveries:
            if _safe(case, delivery):
                await _deliver(case, delivery)
        assert case.records() == held


def _safe(case: SinkCase, delivery: Delivery) -> bool:
    """Whether the peer itself keeps this delivery from doubling."""
    return case.sink.delivery_class(delivery.event) is DeliveryClass.A


async def _deliver(case: SinkCase, delivery: Delivery) -> Receipt:
    receipt = await case.sink.deliver(delivery)
    case.keep(receipt)
    return receipt
