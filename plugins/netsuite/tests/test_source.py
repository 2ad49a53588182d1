"""What NetSuite tells: nothing lost at page ends, ties, late rows and changing clocks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    CreditIssued,
    InvoiceReleased,
    PaymentReceived,
    PeriodClosed,
    PeriodReopened,
)
from isthmus.sdk import Fatal, Opened, Receipt, Retryable, Source
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import SourceContract, read_all
from isthmus_netsuite import source as source_module
from isthmus_netsuite.client import Client
from isthmus_netsuite.simulator import NetSuiteSimulator
from isthmus_netsuite.source import NetSuiteSource

Deliver = Callable[[BusinessEvent], Awaitable[Receipt]]
MakeCharge = Callable[..., ChargeDetermined]
OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]


def bill(simulator: NetSuiteSimulator, count: int) -> list[str]:
    """Open invoices of a customer that finance wrote by hand; their ids."""
    create = simulator.acts()["create_record"]
    if not list(simulator.ledger.of_kind("customer")):
        create("customer", {"companyName": "By hand"})
    customer = next(simulator.ledger.of_kind("customer"))
    ids = []
    for n in range(count):
        fields: dict[str, Any] = {
            "entity": {"id": customer.id},
            "approvalStatus": {"id": "2"},
            "item": {"items": [{"item": {"id": "1"}, "quantity": "1", "rate": str(100 + n)}]},
        }
        ids.append(create("invoice", fields)["id"])
    return ids


class TestNetSuiteSource(SourceContract):
    """The promises of every source: invoices, credits, payments and periods over several pages."""

    @pytest.fixture
    async def source(
        self, simulator: NetSuiteSimulator, open_with: OpenWith, clock: Any
    ) -> AsyncIterator[Source]:
        acts = simulator.acts()
        ids = []
        for _ in range(3):
            ids += bill(simulator, 3)  # three at the same second
            clock.advance(400)
        for id in ids[:4]:
            acts["pay_invoice"](id, "10.00")
        for id in ids[4:7]:
            acts["credit_invoice"](id, "5.00")
        acts["void_invoice"](ids[8])
        acts["close_period"]("2026-09")
        acts["close_period"]("2026-08", "ar")
        clock.advance(1)
        async with open_with(page_size=2, overlap_s=300) as opened:
            assert opened.source is not None
            events = [len((await read_all(opened.source, stream))[0]) for stream in opened.source.streams]
            assert events == [9, 3, 4, 2]
            yield opened.source


async def test_rows_of_one_second_are_told_once_each_across_pages(
    simulator: NetSuiteSimulator, open_with: OpenWith
) -> None:
    ids = bill(simulator, 7)
    async with open_with(page_size=2, overlap_s=0) as opened:
        assert opened.source is not None
        events, cursors = await read_all(opened.source, "invoices")
    assert [event.key for event in events] == [f"netsuite:{id}" for id in ids]
    assert len(cursors) == 4


async def test_a_cursor_without_the_id_would_lose_ties(
    simulator: NetSuiteSimulator, open_with: OpenWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test before: a keyset on the stamp alone."""
    sweep = NetSuiteSource._sweep

    def by_stamp_alone(self: NetSuiteSource, stream: str, since: str, cursor: Any) -> str:
        return sweep(self, stream, since, cursor).replace(f" AND id > {cursor.id}", " AND 1 = 0")

    monkeypatch.setattr(NetSuiteSource, "_sweep", by_stamp_alone)
    bill(simulator, 7)
    async with open_with(page_size=2, overlap_s=0) as opened:
        assert opened.source is not None
        events, _ = await read_all(opened.source, "invoices")
    assert len(events) < 7


@pytest.mark.parametrize(
    ("overlap_s", "seen"),
    [
        pytest.param(600, True, id="found within the overlap"),
        pytest.param(10, False, id="lost behind it: the overlap is what finds them"),
    ],
)
async def test_a_row_that_commits_late_with_an_old_stamp(
    overlap_s: float, seen: bool, simulator: NetSuiteSimulator, open_with: OpenWith, clock: Any
) -> None:
    bill(simulator, 1)
    async with open_with(overlap_s=overlap_s) as opened:
        assert opened.source is not None
        page = await opened.source.pull("invoices", None)
        clock.advance(-120)
        (late,) = bill(simulator, 1)
        clock.advance(120)
        again = await opened.source.pull("invoices", page.next)
    assert (f"netsuite:{late}" in {event.key for event in again.events}) is seen


async def test_a_row_of_the_hour_told_twice_is_found(
    simulator: NetSuiteSimulator, open_with: OpenWith, clock: Any
) -> None:
    """At 01:50 of the summer's last night; half an hour later the account's clock says 01:20."""
    clock.now = datetime(2026, 11, 1, 8, 50, tzinfo=UTC)
    bill(simulator, 1)
    async with open_with(overlap_s=600) as opened:
        assert opened.source is not None
        page = await opened.source.pull("invoices", None)
        clock.advance(30 * 60)
        (later,) = bill(simulator, 1)
        again = await opened.source.pull("invoices", page.next)
    assert f"netsuite:{later}" in {event.key for event in again.events}


async def saved_twice(simulator: NetSuiteSimulator, source: Source, clock: Any) -> list[BusinessEvent]:
    """What is told of an invoice saved at 01:50 and, half an hour later, at 01:20 of the second telling."""
    clock.now = datetime(2026, 11, 1, 8, 50, tzinfo=UTC)
    (id,) = bill(simulator, 1)
    first, cursors = await read_all(source, "invoices")
    clock.advance(30 * 60)
    simulator.acts()["pay_invoice"](id, "100.00")
    second, _ = await read_all(source, "invoices", cursors[-1])
    return [*first, *second]


async def test_revisions_grow_through_the_hour_told_twice(
    simulator: NetSuiteSimulator, opened: Opened, clock: Any
) -> None:
    assert opened.source is not None
    first, second = await saved_twice(simulator, opened.source, clock)
    assert (first.fact_revision, second.fact_revision) == (20261101015000, 20261101017200)
    assert (first.occurred_at.hour, second.occurred_at.hour) == (8, 9)
    clock.advance(2 * 3600)
    (again,), _ = await read_all(opened.source, "invoices")
    assert again.id == second.id


async def test_by_the_stamp_alone_the_revision_would_go_back(
    simulator: NetSuiteSimulator, opened: Opened, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test before: nobody asks the record which telling it was."""
    monkeypatch.setattr(source_module, "told_twice", lambda stamp, zone: False)
    assert opened.source is not None
    first, second = await saved_twice(simulator, opened.source, clock)
    assert second.fact_revision < first.fact_revision


async def test_what_was_saved_in_the_first_telling_is_not_held_back_by_the_second(
    simulator: NetSuiteSimulator, opened: Opened, clock: Any
) -> None:
    assert opened.source is not None
    clock.now = datetime(2026, 11, 1, 8, 50, tzinfo=UTC)
    bill(simulator, 1)
    clock.advance(15 * 60)  # the account's clock says 01:05
    events, _ = await read_all(opened.source, "invoices")
    assert [event.fact_revision for event in events] == [20261101015000]


async def test_a_row_saved_again_while_it_is_read_is_told_by_the_next_sweep(
    simulator: NetSuiteSimulator, opened: Opened, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened.source is not None
    clock.now = datetime(2026, 11, 1, 8, 50, tzinfo=UTC)
    (id,) = bill(simulator, 1)
    asked = Client.modified_at

    async def saved_meanwhile(client: Client, type: str, id: str) -> datetime | None:
        clock.advance(30 * 60)
        simulator.acts()["edit_record"]("invoice", id, {"memo": "late"})
        return await asked(client, type, id)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "modified_at", saved_meanwhile)
        events, cursors = await read_all(opened.source, "invoices")
    assert events == []
    (event,), _ = await read_all(opened.source, "invoices", cursors[-1])
    assert (event.key, event.fact_revision) == (f"netsuite:{id}", 20261101017200)


async def test_pages_smaller_than_asked_for_lose_nothing(
    simulator: NetSuiteSimulator, opened: Opened
) -> None:
    assert opened.source is not None
    ids = bill(simulator, 7)
    for id in ids:
        simulator.acts()["pay_invoice"](id, "5.00")
    simulator.acts()["shrink_pages"](2)
    told = {stream: await read_all(opened.source, stream) for stream in ("invoices", "payments")}
    assert [len(events) for events, _ in told.values()] == [7, 7]
    assert [len(cursors) for _, cursors in told.values()] == [4, 4]


@pytest.mark.parametrize("lag_s", [pytest.param(30, id="within the overlap"), pytest.param(590, id="late")])
async def test_what_a_search_shows_late_is_found(
    lag_s: int, simulator: NetSuiteSimulator, opened: Opened, clock: Any
) -> None:
    assert opened.source is not None
    simulator.acts()["lag_search"](lag_s)
    (hidden,) = bill(simulator, 1)
    clock.advance(lag_s - 1)
    simulator.memory["search_lag_s"] = 0.0
    (seen,) = bill(simulator, 1)
    simulator.books.changed.pop(("invoice", hidden))
    events, cursors = await read_all(opened.source, "invoices")
    assert [event.key for event in events] == [f"netsuite:{seen}"]
    simulator.books.reindex()
    events, _ = await read_all(opened.source, "invoices", cursors[-1])
    assert f"netsuite:{hidden}" in {event.key for event in events}


async def test_a_peer_that_repeats_a_page_ends_the_poll(
    simulator: NetSuiteSimulator, open_with: OpenWith
) -> None:
    """A condition ignored in silence must not become a loop, nor facts told for ever."""
    bill(simulator, 3)
    async with open_with(page_size=2) as opened:
        assert opened.source is not None
        page = await opened.source.pull("invoices", None)
        run = simulator.suiteql.run

        def ignoring(q: str, *given: Any, **more: Any) -> Any:
            return run(q.replace("lastmodifieddate >", "1 = 1 OR lastmodifieddate >"), *given, **more)

        simulator.suiteql.run = ignoring  # type: ignore[method-assign]
        with pytest.raises(Retryable, match="repeats itself"):
            await opened.source.pull("invoices", page.next)


async def test_a_query_that_is_refused_parks_reading(simulator: NetSuiteSimulator, opened: Opened) -> None:
    """Waiting does not help, and it is no bug of ours that the role lost a permission."""
    assert opened.source is not None
    body = {
        "o:errorDetails": [
            {"detail": "Record 'transaction' was not found.", "o:errorCode": "INVALID_PARAMETER"}
        ]
    }
    suiteql = Match(path_prefix="/services/rest/query")
    simulator.faults.add([Fault(fault="status", status=400, body=body, match=suiteql, times=4)])
    for stream in opened.source.streams:
        with pytest.raises(Fatal, match="run the probe") as caught:
            await opened.source.pull(stream, None)
        assert caught.value.peer_words == "INVALID_PARAMETER: Record 'transaction' was not found."


async def test_rows_of_the_hour_told_twice_may_come_in_the_order_of_time(
    simulator: NetSuiteSimulator, open_with: OpenWith, clock: Any
) -> None:
    """Whether NetSuite orders by its clock or by time, what it tells there is taken."""
    async with open_with(page_size=2) as opened:
        assert opened.source is not None
        clock.now = datetime(2026, 11, 1, 8, 50, tzinfo=UTC)
        first = bill(simulator, 1)
        clock.advance(30 * 60)
        second = bill(simulator, 1)
        run = simulator.suiteql.run

        def by_time(q: str, *given: Any, **more: Any) -> Any:
            return run(q.replace("ORDER BY lastmodifieddate, id", "ORDER BY id"), *given, **more)

        simulator.suiteql.run = by_time  # type: ignore[method-assign]
        page = await opened.source.pull("invoices", None)
    assert [event.key for event in page.events] == [f"netsuite:{id}" for id in first + second]


async def test_a_line_that_somebody_spoilt_refuses_its_invoice_only(
    simulator: NetSuiteSimulator, opened: Opened
) -> None:
    assert opened.source is not None
    spoilt, sound = bill(simulator, 2)
    line = {"item": {"id": "1"}, "rate": "1", "custcol_isth_charge": "b:1", "custcol_isth_amount": "a lot"}
    simulator.acts()["edit_record"]("invoice", spoilt, {"item": {"items": [line]}})
    page = await opened.source.pull("invoices", None)
    assert [event.key for event in page.events] == [f"netsuite:{sound}"]
    (refused,) = page.refused
    assert (refused.place, "a lot" in refused.reason) == (f"/services/rest/record/v1/invoice/{spoilt}", True)


async def test_a_change_waits_until_its_second_is_over(
    simulator: NetSuiteSimulator, open_with: OpenWith, clock: Any
) -> None:
    (id,) = bill(simulator, 1)
    async with open_with(settle_s=2.0) as opened:
        assert opened.source is not None
        assert (await read_all(opened.source, "invoices"))[0] == []
        simulator.acts()["edit_record"]("invoice", id, {"memo": "in the same second"})
        clock.advance(2)
        (event,), _ = await read_all(opened.source, "invoices")
    assert event.fact_revision == 20261020100000


async def test_a_changed_invoice_is_told_again_in_a_higher_revision(
    simulator: NetSuiteSimulator, opened: Opened, clock: Any
) -> None:
    assert opened.source is not None
    (id,) = bill(simulator, 1)
    (first,), cursors = await read_all(opened.source, "invoices")
    clock.advance(5)
    simulator.acts()["pay_invoice"](id, "100.00")
    (second,), _ = await read_all(opened.source, "invoices", cursors[-1])
    assert second.fact_revision > first.fact_revision
    assert second.id != first.id


async def test_an_invoice_of_records_nobody_knows_gets_keys_of_this_instance(
    simulator: NetSuiteSimulator, opened: Opened
) -> None:
    assert opened.source is not None
    bill(simulator, 1)
    (event,), _ = await read_all(opened.source, "invoices")
    assert isinstance(event, InvoiceReleased)
    assert (event.customer, event.project, event.charges) == ("netsuite:2", None, [])


async def test_the_entity_is_the_subsidiarys(simulator: NetSuiteSimulator, open_with: OpenWith) -> None:
    bill(simulator, 1)
    async with open_with(subsidiaries={"acme-inc": "1"}) as opened:
        assert opened.source is not None
        (event,), _ = await read_all(opened.source, "invoices")
    assert event.entity == "acme-inc"


async def test_a_payment_of_two_invoices_is_two_facts(simulator: NetSuiteSimulator, opened: Opened) -> None:
    assert opened.source is not None
    first, second = bill(simulator, 2)
    customer = next(simulator.ledger.of_kind("customer"))
    simulator.acts()["create_record"](
        "customerPayment",
        {
            "customer": {"id": customer.id},
            "payment": "150.00",
            "apply": {
                "items": [
                    {"doc": {"id": first}, "apply": True, "amount": "100.00"},
                    {"doc": {"id": second}, "apply": True, "amount": "50.00"},
                ]
            },
        },
    )
    page = await opened.source.pull("payments", None)
    found = [
        (event.payment, event.invoice, event.amount, event.open_amount)
        for event in page.events
        if isinstance(event, PaymentReceived)
    ]
    assert found == [
        (f"netsuite:3/{first}", f"netsuite:{first}", Decimal(100), Decimal(0)),
        (f"netsuite:3/{second}", f"netsuite:{second}", Decimal(50), Decimal(51)),
    ]
    assert [link.kind for link in page.links] == ["payment", "payment"]


async def test_only_credits_that_others_gave_are_told(
    shell: None, simulator: NetSuiteSimulator, opened: Opened, deliver: Deliver, charge: MakeCharge
) -> None:
    assert opened.source is not None
    milestone = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}
    await deliver(charge(**milestone))
    await deliver(charge("billing:ch3", **milestone))
    (first, second) = simulator.acts()["release_invoices"]()
    await deliver(charge("billing:ch2", **milestone, amount="-500.00", reverses="billing:ch1"))
    simulator.acts()["credit_invoice"](second["id"], "20.00")
    simulator.acts()["credit_invoice"](second["id"], "30.00")
    events, _ = await read_all(opened.source, "credits")
    assert [event.amount for event in events if isinstance(event, CreditIssued)] == [Decimal(20), Decimal(30)]
    assert {event.key for event in events} == {f"netsuite:{second['id']}"}
    assert len({event.id for event in events}) == 2
    assert first["id"] != second["id"]


async def test_a_row_that_cannot_be_read_is_refused_and_the_page_goes_on(
    simulator: NetSuiteSimulator, opened: Opened
) -> None:
    assert opened.source is not None
    bad, good = bill(simulator, 2)
    record = simulator.ledger.get("invoice", bad)
    assert record is not None
    simulator.books.change(record, {"currency": {"id": "77"}}, op="edit")
    page = await opened.source.pull("invoices", None)
    assert [event.key for event in page.events] == [f"netsuite:{good}"]
    (refused,) = page.refused
    assert refused.place == f"/services/rest/record/v1/invoice/{bad}"
    assert refused.reason.startswith("currency 77 is not in the account's list")


async def test_periods_close_and_reopen_each_told_once(simulator: NetSuiteSimulator, opened: Opened) -> None:
    assert opened.source is not None
    acts = simulator.acts()
    page = await opened.source.pull("periods", None)
    assert page.events == []
    told: list[tuple[type[BusinessEvent], str, int]] = []
    for act in ("close_period", "reopen_period", "close_period"):
        acts[act]("2026-09")
        again = page
        page = await opened.source.pull("periods", again.next)
        assert [event.id for event in (await opened.source.pull("periods", again.next)).events] == [
            event.id for event in page.events
        ]
        told += [(type(event), event.key, event.fact_revision) for event in page.events]
    assert [(kind, key) for kind, key, _ in told] == [
        (PeriodClosed, "2026-09"),
        (PeriodReopened, "2026-09"),
        (PeriodClosed, "2026-09"),
    ]
    revisions = [revision for *_, revision in told]
    assert revisions == sorted(set(revisions))


async def test_dates_are_asked_for_in_a_form_that_keeps_their_time() -> None:
    """SuiteQL shows a bare date in the user's format, without its time; the queries must not rely on it."""
    import inspect

    text = inspect.getsource(source_module)
    for column in ("trandate", "duedate", "lastmodifieddate", "startdate", "enddate", "closedondate"):
        assert f"TO_CHAR({column}, " in text
