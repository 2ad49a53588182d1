"""What arrives in NetSuite, once, and what is refused instead of overwritten."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import trio

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    CustomerChanged,
    ProjectCreated,
    ScheduleRevised,
)
from isthmus.sdk import Delivery, Opened, Receipt, Rejected, Retryable, Throttled, Unmet, Unsure
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext, SinkCase, SinkContract
from isthmus_netsuite import sink as sink_module
from isthmus_netsuite.records import Records
from isthmus_netsuite.simulator import NetSuiteSimulator

Deliver = Callable[[BusinessEvent], Awaitable[Receipt]]
MakeSchedule = Callable[..., ScheduleRevised]
MakeCharge = Callable[..., ChargeDetermined]
OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]

MADE = ("customer", "job", "timeBill", "charge", "invoice", "creditMemo")


def held(simulator: NetSuiteSimulator, *kinds: str) -> int:
    return sum(1 for record in simulator.ledger.all() if record.kind in (kinds or MADE))


def break_write(simulator: NetSuiteSimulator, fault: Any = "lose_response", **more: Any) -> None:
    simulator.faults.add([Fault(fault=fault, match=Match(method="PUT"), **more)])


async def wait_writes(simulator: NetSuiteSimulator, kind: str, count: int) -> None:
    """Wait until the one record of ``kind`` was written that often."""
    with trio.fail_after(5):
        while len(_only(simulator, kind).writes) < count:  # noqa: ASYNC110
            await trio.sleep(0.02)


MODES: list[Any] = [
    pytest.param({}, id="by external id"),
    pytest.param({"writes": "async"}, id="by external id, queued"),
    pytest.param({"writes": "batch"}, id="by external id, in batches"),
    pytest.param({"record_key": "custom_field"}, id="by custom field"),
    pytest.param({"record_key": "custom_field", "writes": "async"}, id="by custom field, queued"),
]


class TestNetSuiteSink(SinkContract):
    """The promises of every sink, for all that this one accepts, in each of its modes."""

    @pytest.fixture(params=MODES)
    async def case(
        self,
        request: pytest.FixtureRequest,
        simulator: NetSuiteSimulator,
        open_with: OpenWith,
        ctx: FakeContext,
        customer: CustomerChanged,
        project: ProjectCreated,
        charge: MakeCharge,
        schedule: MakeSchedule,
    ) -> AsyncIterator[SinkCase]:
        simulator.acts()["slow_jobs"](0.0)
        milestone = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}
        events: list[BusinessEvent] = [
            customer,
            project,
            schedule(),
            schedule(2, state="billed"),
            charge("billing:t1"),
            charge("billing:t2", amount="-1200.00", reverses="billing:t1"),
            charge("billing:e1", origin="expense", quantity="1", unit_price="88.10"),
            charge("billing:m1", **milestone),
            charge("billing:m2", **milestone, amount="-500.00", reverses="billing:m1"),
        ]

        def lose_next_response() -> None:
            simulator.faults.faults.clear()
            for method in ("POST", "PUT"):
                at = Match(method=method, path_prefix="/services/rest/record")
                simulator.faults.add([Fault(fault="lose_response", match=at)])

        async with open_with(**request.param) as opened:
            assert opened.sink is not None
            yield SinkCase(
                sink=opened.sink,
                deliveries=[Delivery(key=event.id, lane="netsuite", event=event) for event in events],
                records=lambda: held(simulator),
                keep=lambda receipt: ctx.keep(receipt.links),
                lose_next_response=lose_next_response,
                expected=7,
            )


async def test_a_sink_that_posts_instead_of_upserting_breaks_the_contract(
    simulator: NetSuiteSimulator,
    opened: Opened,
    ctx: FakeContext,
    customer: CustomerChanged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant: without the external id a lost answer doubles the customer, and the promise turns red."""

    async def post(records: Records, type: str, key: str, body: dict[str, Any], *, once: str) -> str:
        return await records._client.create(type, body)

    monkeypatch.setattr(Records, "put", post)
    assert opened.sink is not None
    case = SinkCase(
        sink=opened.sink,
        deliveries=[Delivery(key="k", lane="netsuite", event=customer)],
        records=lambda: held(simulator, "customer"),
        keep=lambda receipt: None,
        lose_next_response=lambda: simulator.faults.add(
            [Fault(fault="lose_response", match=Match(method="POST", path_prefix="/services/rest/record"))]
        ),
    )
    with pytest.raises(AssertionError):
        await SinkContract().test_a_lost_response_doubles_nothing(case)


def shown(simulator: NetSuiteSimulator) -> list[str]:
    text: str = _only(simulator, "job").fields["custentity_isth_schedule"]
    return text.splitlines()


async def test_the_newest_schedule_stands_on_the_job(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, schedule: MakeSchedule
) -> None:
    await deliver(schedule())
    assert shown(simulator) == ["crm:C1, schedule 1", "2026-11-01 F 300.00 EUR planned"]
    receipt = await deliver(schedule(2, state="billed"))
    assert shown(simulator) == ["crm:C1, schedule 2", "2026-11-01 F 300.00 EUR billed"]
    job = _only(simulator, "job")
    assert (receipt.remote_id, receipt.detail) == (f"job/{job.id}", "crm:C1, schedule 2")


async def test_schedules_of_two_contracts_stand_beside_each_other_even_when_told_at_once(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, schedule: MakeSchedule
) -> None:
    async with trio.open_nursery() as nursery:
        for contract in ("crm:C2", "crm:C1"):
            nursery.start_soon(deliver, schedule(1, contract))
    await deliver(schedule(2, "crm:C2", "paused"))
    assert shown(simulator) == [
        "crm:C1, schedule 1",
        "2026-11-01 F 300.00 EUR planned",
        "",
        "crm:C2, schedule 2",
        "2026-11-01 F 300.00 EUR paused",
    ]


async def test_a_schedule_waits_for_its_project(deliver: Deliver, schedule: MakeSchedule) -> None:
    with pytest.raises(Unmet, match="crm:P1"):
        await deliver(schedule())


async def test_the_receipt_names_the_record_and_tells_that_it_is_posted(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    event = charge(origin="milestone", quantity="1", unit_price="500.00")
    receipt = await deliver(event)
    (record,) = simulator.ledger.by_external_key("invoice", "isth:billing:ch1")
    assert receipt.remote_id == f"invoice/{record.id}"
    assert receipt.detail == "INV1001"
    assert {(link.kind, link.key, link.remote_id) for link in receipt.links} == {
        ("charge", "billing:ch1", f"invoice/{record.id}"),
        ("invoice", f"netsuite:{record.id}", record.id),
    }
    (posted,) = receipt.facts
    assert isinstance(posted, ChargePosted)
    assert (posted.amount, posted.posted_on, posted.causation) == (
        Decimal("500.00"),
        event.posting_on,
        event.id,
    )
    assert record.fields["status"] == {"id": "Pending Approval"}


async def test_keys_with_any_sign_in_them_come_back_as_they_were(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    key = "billing/charge.determined/psa:time/17 é%2F?#/1"
    await deliver(charge(key))
    assert [record.external_key for record in simulator.ledger.of_kind("timeBill")] == [f"isth:{key}"]
    assert (await deliver(charge(key))).remote_id == "timeBill/1"


@pytest.mark.parametrize(
    ("changes", "held_amount"),
    [
        pytest.param({}, "1200.00", id="time"),
        pytest.param({"origin": "expense"}, "1200.00", id="an expense"),
        pytest.param({"origin": "milestone"}, "1200.00", id="a milestone"),
    ],
)
async def test_a_record_with_another_amount_is_never_overwritten(
    shell: None,
    changes: dict[str, Any],
    held_amount: str,
    simulator: NetSuiteSimulator,
    deliver: Deliver,
    charge: MakeCharge,
) -> None:
    await deliver(charge(**changes))
    with pytest.raises(Rejected, match="bears isth:billing:ch1 already") as caught:
        await deliver(charge(quantity="7.00", **changes))
    assert caught.value.reason == "duplicate"
    (record,) = [record for record in simulator.ledger.all() if record.external_key == "isth:billing:ch1"]
    lines = record.fields["item"]["items"] if record.kind == "invoice" else [record.fields]
    assert [line["custcol_isth_amount"] for line in lines] == [held_amount]


async def test_a_record_that_a_user_edited_is_reported_when_it_is_sent_again(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    await deliver(charge())
    simulator.acts()["edit_record"]("timeBill", "1", {"hours": "4:00"})
    with pytest.raises(Rejected, match="hours are 4:00, not 8:00"):
        await deliver(charge())


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(fault="wrong_body", match=Match(method="PUT")), id="an empty 200"),
        pytest.param(
            Fault(
                fault="status",
                status=204,
                headers={"location": "https://x/services/rest/record/v1/timeBill/"},
                match=Match(method="PUT"),
            ),
            id="a 204 that names no record",
        ),
        pytest.param(
            Fault(
                fault="status",
                status=204,
                headers={"location": "https://x/services/rest/record/v1/timeBill/999"},
                match=Match(method="PUT"),
            ),
            id="a 204 that names a record that is not there",
        ),
        pytest.param(Fault(fault="status", status=500, match=Match(method="PUT")), id="500 after a write"),
        pytest.param(Fault(fault="lose_response", match=Match(method="PUT")), id="no answer at all"),
    ],
)
async def test_no_proof_is_no_success_and_sending_again_is_safe(
    shell: None, fault: Fault, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    simulator.faults.add([fault])
    with pytest.raises(Unsure):
        await deliver(charge())
    assert (await deliver(charge())).remote_id == "timeBill/1"
    assert held(simulator, "timeBill") == 1


async def test_anothers_record_is_no_success(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    await deliver(charge("billing:ch9"))
    location = {"location": "https://x/services/rest/record/v1/timeBill/1"}
    simulator.faults.add([Fault(fault="status", status=204, headers=location, match=Match(method="PUT"))])
    with pytest.raises(Unsure, match="is not there under isth:billing:ch1"):
        await deliver(charge())


async def test_a_write_that_commits_after_it_was_sent_again_doubles_nothing(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    event = charge(origin="milestone", quantity="1", unit_price="500.00")
    break_write(simulator, "late_commit", delay_s=0.2)
    with pytest.raises(Unsure):
        await deliver(event)
    await deliver(event)
    await wait_writes(simulator, "invoice", 2)
    invoice = _only(simulator, "invoice")
    assert (invoice.fields["total"], len(invoice.fields["item"]["items"])) == ("500.00", 1)
    assert (await deliver(event)).remote_id == f"invoice/{invoice.id}"


async def test_without_replacing_the_lines_a_late_commit_would_double_the_amount(
    shell: None,
    simulator: NetSuiteSimulator,
    deliver: Deliver,
    charge: MakeCharge,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant of the test before: upserts append lines unless told to replace them."""
    monkeypatch.setattr(sink_module, "_DOCUMENTS", ())
    event = charge(origin="milestone", quantity="1", unit_price="500.00")
    break_write(simulator, "late_commit", delay_s=0.2)
    with pytest.raises(Unsure):
        await deliver(event)
    await deliver(event)
    await wait_writes(simulator, "invoice", 2)
    assert _only(simulator, "invoice").fields["total"] == "1000.00"


# What must be there first


async def test_what_a_fact_builds_on_is_waited_for(
    deliver: Deliver, customer: CustomerChanged, project: ProjectCreated, charge: MakeCharge
) -> None:
    with pytest.raises(Unmet, match="customer crm:A1"):
        await deliver(project)
    await deliver(customer)
    with pytest.raises(Unmet, match="project crm:P1"):
        await deliver(charge())
    await deliver(project)
    reversal = charge("billing:ch2", amount="-1200.00", reverses="billing:ch1")
    with pytest.raises(Unmet, match="charge billing:ch1"):
        await deliver(reversal)
    await deliver(charge())
    await deliver(reversal)


async def test_a_project_that_was_deleted_in_netsuite_is_a_missing_reference(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    simulator.books.remove(_only(simulator, "job"))
    with pytest.raises(Rejected, match="for the following field: customer") as caught:
        await deliver(charge())
    assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        pytest.param({"default_item": None}, {}, "no item for 'consulting'", id="no item"),
        pytest.param({"default_employee": None}, {}, "'psa:7' has no employee", id="no employee"),
        pytest.param(
            {"dimensions": {"department": {"sales": "1"}}},
            {},
            "department 'delivery' is not mapped",
            id="a segment value that is not mapped",
        ),
        pytest.param({}, {"currency": "SEK"}, "no currency SEK", id="a currency the account lacks"),
    ],
)
async def test_what_the_settings_do_not_map_is_rejected(
    settings: dict[str, Any],
    changes: dict[str, Any],
    words: str,
    shell: None,
    open_with: OpenWith,
    charge: MakeCharge,
) -> None:
    async with open_with(**settings) as opened:
        assert opened.sink is not None
        with pytest.raises(Rejected, match=words) as caught:
            await opened.sink.deliver(Delivery(key="k", lane="netsuite", event=charge(**changes)))
    assert caught.value.reason == "mapping"


async def test_mapped_items_employees_segments_and_subsidiaries_reach_the_record(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, ctx: FakeContext, charge: MakeCharge
) -> None:
    settings: dict[str, Any] = {
        "items": {"consulting": "2"},
        "dimensions": {"department": {"delivery": "1"}},
        "subsidiaries": {"us": "2"},
    }
    async with open_with(**settings) as opened:
        assert opened.sink is not None
        await opened.sink.deliver(Delivery(key="k", lane="netsuite", event=charge()))
    fields = _only(simulator, "timeBill").fields
    told = {name: fields[name]["id"] for name in ("item", "employee", "department", "subsidiary")}
    assert told == {"item": "2", "employee": "1", "department": "1", "subsidiary": "2"}


# Periods


async def test_nothing_is_posted_into_a_closed_period(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    simulator.acts()["close_period"]("2026-10")
    with pytest.raises(Rejected) as caught:
        await deliver(charge())
    assert caught.value.reason == "period"
    assert held(simulator, "timeBill") == 0
    simulator.acts()["reopen_period"]("2026-10")
    await deliver(charge())


async def test_a_period_closed_between_check_and_write_is_refused_by_netsuite(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    """The first charge leaves the period known as open; the race is lost, and still nothing is posted."""
    await deliver(charge())
    simulator.acts()["close_period"]("2026-10", "ar")
    with pytest.raises(Rejected, match="NetSuite answered 400") as caught:
        await deliver(charge("billing:ch2"))
    assert caught.value.reason == "period"
    assert held(simulator, "timeBill") == 1


async def test_a_charge_that_is_there_is_found_also_when_its_period_has_closed(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    receipt = await deliver(charge())
    simulator.acts()["close_period"]("2026-10")
    assert (await deliver(charge())).remote_id == receipt.remote_id


# Credit memos


async def test_a_milestone_taken_back_after_release_is_credited_on_its_invoice(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    milestone = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}
    await deliver(charge(**milestone))
    simulator.acts()["release_invoices"]()
    await deliver(charge("billing:ch2", **milestone, amount="-500.00", reverses="billing:ch1"))
    assert _only(simulator, "invoice").fields["amountRemaining"] == "0.00"
    credit = _only(simulator, "creditMemo")
    assert (credit.fields["total"], credit.fields["unapplied"]) == ("500.00", "0.00")


async def test_a_milestone_taken_back_before_release_is_credited_but_not_applied(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    milestone = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}
    await deliver(charge(**milestone))
    await deliver(charge("billing:ch2", **milestone, amount="-500.00", reverses="billing:ch1"))
    assert _only(simulator, "creditMemo").fields["unapplied"] == "500.00"


# Master data


async def test_a_customer_is_changed_in_place(
    simulator: NetSuiteSimulator, deliver: Deliver, customer: CustomerChanged
) -> None:
    await deliver(customer)
    await deliver(msgspec.structs.replace(customer, id="", name="Northwind SE", revision=2))
    record = _only(simulator, "customer")
    assert record.fields["companyName"] == "Northwind SE"
    assert [write.op for write in record.writes] == ["upsert", "update"]


@pytest.mark.parametrize(
    ("match", "customers"),
    [
        pytest.param("tax_id", 1, id="adopted by its tax number"),
        pytest.param("never", 2, id="unless matching is off"),
    ],
)
async def test_a_customer_that_is_there_already(
    match: str,
    customers: int,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    customer: CustomerChanged,
) -> None:
    simulator.books.add("customer", {"companyName": "NORTHWIND", "vatRegNumber": "DE123"}, op="create")
    async with open_with(match_customers=match) as opened:
        assert opened.sink is not None
        for _ in range(2):
            await opened.sink.deliver(Delivery(key="k", lane="netsuite", event=customer))
    assert held(simulator, "customer") == customers
    assert len(simulator.ledger.by_external_key("customer", "isth:crm:A1")) == 1


async def test_two_customers_with_one_tax_number_are_a_persons_decision(
    simulator: NetSuiteSimulator, open_with: OpenWith, customer: CustomerChanged
) -> None:
    for name in ("NORTHWIND", "Northwind old"):
        simulator.books.add("customer", {"companyName": name, "vatRegNumber": "DE123"}, op="create")
    async with open_with(match_customers="tax_id") as opened:
        assert opened.sink is not None
        with pytest.raises(Rejected, match="have the tax number") as caught:
            await opened.sink.deliver(Delivery(key="k", lane="netsuite", event=customer))
    assert caught.value.reason == "duplicate"


# Load


async def test_too_many_calls_at_once_rest_the_connector(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    simulator.acts()["limit_concurrency"](0)
    with pytest.raises(Throttled):
        await deliver(charge())


async def test_the_connector_keeps_to_its_concurrency(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    simulator.acts()["limit_concurrency"](3, 0.01)
    async with open_with(concurrency=3) as opened:
        sink = opened.sink
        assert sink is not None and sink.concurrency == 3
        async with trio.open_nursery() as nursery:
            for n in range(9):
                delivery = Delivery(key=f"k{n}", lane="netsuite", event=charge(f"billing:c{n}"))
                nursery.start_soon(sink.deliver, delivery)
    assert held(simulator, "timeBill") == 9


async def test_a_read_that_breaks_off_is_tried_again_without_doubt(
    shell: None, simulator: NetSuiteSimulator, deliver: Deliver, charge: MakeCharge
) -> None:
    simulator.faults.add([Fault(fault="lose_response", match=Match(method="GET"))])
    with pytest.raises(Retryable) as caught:
        await deliver(charge())
    assert not isinstance(caught.value, Unsure)


async def test_a_kind_that_is_not_accepted_is_rejected(
    opened: Opened, deliver: Deliver, project: ProjectCreated
) -> None:
    assert opened.sink is not None
    assert opened.sink.accepts == {
        "customer.changed",
        "project.created",
        "schedule.revised",
        "charge.determined",
    }
    from isthmus.events import ProjectStageChanged

    changed = ProjectStageChanged(
        source="psa",
        occurred_at=project.occurred_at,
        entity="us",
        project="crm:P1",
        stage="active",
        previous="planned",
        changed_on=project.occurred_at.date(),
    )
    with pytest.raises(Rejected, match=r"takes no project\.stage_changed"):
        await deliver(changed)


def _only(simulator: NetSuiteSimulator, kind: str) -> Any:
    (record,) = simulator.ledger.of_kind(kind)
    return record
