"""Where another integration owns the external ids, our key is in a custom field."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from isthmus.events import BusinessEvent, ChargeDetermined, CustomerChanged, ProjectCreated, ScheduleRevised
from isthmus.sdk import Delivery, DeliveryClass, Opened, Rejected, Sink, Unmet, Unsure
from isthmus.sdk.simulator import Fault, Match, Record
from isthmus.sdk.testing import FakeContext, read_all
from isthmus_netsuite.records import Records
from isthmus_netsuite.simulator import NetSuiteSimulator

MakeCharge = Callable[..., ChargeDetermined]
MakeSchedule = Callable[..., ScheduleRevised]
OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]


def sent(event: BusinessEvent) -> Delivery:
    return Delivery(key=event.id, lane="netsuite", event=event)


def only(simulator: NetSuiteSimulator, kind: str) -> Record:
    (record,) = simulator.ledger.of_kind(kind)
    return record


@pytest.fixture
async def sink(open_with: OpenWith) -> Any:
    async with open_with(record_key="custom_field") as opened:
        yield opened.sink


@pytest.fixture
async def standing(sink: Sink, ctx: FakeContext, customer: CustomerChanged, project: ProjectCreated) -> None:
    """The customer and the project are in NetSuite, and the crosswalk knows them."""
    for event in (customer, project):
        ctx.keep((await sink.deliver(sent(event))).links)


async def test_external_ids_are_left_alone(
    standing: None, simulator: NetSuiteSimulator, sink: Sink, charge: MakeCharge
) -> None:
    milestone = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}
    for event in (
        charge("billing:t"),
        charge("billing:e", origin="expense"),
        charge("billing:m", **milestone),
    ):
        await sink.deliver(sent(event))
    marked = {
        kind: only(simulator, kind).fields[field]
        for kind, field in (
            ("customer", "custentity_isth_key"),
            ("job", "custentity_isth_key"),
            ("timeBill", "custcol_isth_charge"),
            ("charge", "custcol_isth_charge"),
            ("invoice", "custbody_isth_charge"),
        )
    }
    assert marked == {
        "customer": "crm:A1",
        "job": "crm:P1",
        "timeBill": "billing:t",
        "charge": "billing:e",
        "invoice": "billing:m",
    }
    assert not any(record.external_key for record in simulator.ledger.all())


async def test_the_class_is_told_honestly(sink: Sink, charge: MakeCharge, schedule: MakeSchedule) -> None:
    assert sink.delivery_class(charge()) is DeliveryClass.B
    assert sink.delivery_class(schedule()) is DeliveryClass.A
    assert sink.worst_commit_s == 900


async def test_a_charge_is_found_by_its_key_and_proven_by_its_amount(
    standing: None, simulator: NetSuiteSimulator, sink: Sink, charge: MakeCharge
) -> None:
    assert await sink.find(sent(charge())) is None
    receipt = await sink.deliver(sent(charge()))
    found = await sink.find(sent(charge()))
    assert found is not None and found.remote_id == receipt.remote_id
    with pytest.raises(Rejected, match="bears billing:ch1 already, but custcol_isth_amount"):
        await sink.find(sent(charge(quantity="7.00")))


async def test_without_the_look_up_a_lost_answer_would_double(
    standing: None,
    simulator: NetSuiteSimulator,
    sink: Sink,
    charge: MakeCharge,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant: NetSuite itself does not enforce the field."""

    async def blind(records: Records, type: str, key: str) -> None:
        return None

    monkeypatch.setattr(Records, "find", blind)
    simulator.faults.add([Fault(fault="lose_response", match=Match(path_prefix="/services/rest/record"))])
    with pytest.raises(Unsure):
        await sink.deliver(sent(charge()))
    await sink.deliver(sent(charge()))
    assert len(list(simulator.ledger.of_kind("timeBill"))) == 2


async def test_two_records_under_one_key_are_a_persons_decision(
    standing: None, simulator: NetSuiteSimulator, sink: Sink, charge: MakeCharge
) -> None:
    await sink.deliver(sent(charge()))
    copy = {**only(simulator, "timeBill").fields}
    simulator.books.add("timeBill", copy, op="create")
    for call in (sink.find, sink.deliver):
        with pytest.raises(Rejected, match=r"timeBill 1 and 2 both bear billing:ch1") as caught:
            await call(sent(charge()))
        assert caught.value.reason == "duplicate"


async def test_an_earlier_revision_is_not_this_fact(
    standing: None,
    simulator: NetSuiteSimulator,
    sink: Sink,
    customer: CustomerChanged,
    project: ProjectCreated,
) -> None:
    """Adopting the record without looking at it would lose the change."""
    for event, changed in (
        (customer, msgspec.structs.replace(customer, id="", name="Northwind SE", revision=2)),
        (project, msgspec.structs.replace(project, id="", name="Rollout II", revision=2)),
    ):
        assert await sink.find(sent(event)) is not None
        assert await sink.find(sent(changed)) is None
        await sink.deliver(sent(changed))
        assert await sink.find(sent(changed)) is not None
    assert only(simulator, "customer").fields["companyName"] == "Northwind SE"
    assert only(simulator, "job").fields["companyName"] == "Rollout II"


async def test_master_data_is_looked_up_before_it_is_created(
    standing: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    ctx: FakeContext,
    customer: CustomerChanged,
) -> None:
    """After a restore the crosswalk may not know what an earlier run wrote."""
    ctx.crosswalk = FakeContext("netsuite").crosswalk
    for writes in ("direct", "async"):
        async with open_with(record_key="custom_field", writes=writes) as opened:
            assert opened.sink is not None
            assert (await opened.sink.deliver(sent(customer))).remote_id == "customer/2"
            assert await opened.sink.find(sent(customer)) is not None
    only(simulator, "customer")


async def test_what_a_project_builds_on_is_missed_by_find_too(sink: Sink, project: ProjectCreated) -> None:
    with pytest.raises(Unmet, match="customer crm:A1"):
        await sink.find(sent(project))


async def test_a_customer_adopted_by_its_tax_number_is_marked(
    simulator: NetSuiteSimulator, open_with: OpenWith, customer: CustomerChanged
) -> None:
    simulator.books.add("customer", {"companyName": "NORTHWIND", "vatRegNumber": "DE123"}, op="create")
    async with open_with(record_key="custom_field", match_customers="tax_id") as opened:
        assert opened.sink is not None
        for _ in range(2):
            await opened.sink.deliver(sent(customer))
    record = only(simulator, "customer")
    assert (record.fields["custentity_isth_key"], record.external_key) == ("crm:A1", None)


async def test_credits_of_ours_are_told_by_their_field(
    standing: None, simulator: NetSuiteSimulator, open_with: OpenWith, ctx: FakeContext, charge: MakeCharge
) -> None:
    milestone = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}
    async with open_with(record_key="custom_field") as opened:
        assert opened.sink is not None and opened.source is not None
        ctx.keep((await opened.sink.deliver(sent(charge("billing:m", **milestone)))).links)
        simulator.acts()["release_invoices"]()
        simulator.acts()["credit_invoice"](only(simulator, "invoice").id, "20.00")
        await opened.sink.deliver(
            sent(charge("billing:r", **milestone, amount="-500.00", reverses="billing:m"))
        )
        assert len(list(simulator.ledger.of_kind("creditMemo"))) == 2
        events, _ = await read_all(opened.source, "credits")
    assert [str(getattr(event, "amount", "")) for event in events] == ["20"]


async def test_a_batch_needs_a_key_that_netsuite_enforces(settings_of: Callable[..., Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="must be safe to repeat"):
        settings_of(writes="batch", record_key="custom_field")
