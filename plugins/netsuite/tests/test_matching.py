"""Records that somebody else wrote, found for facts of ours; a look that writes nothing."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import BusinessEvent, ChargeDetermined, CustomerChanged, ProjectCreated
from isthmus.sdk import Candidate, Link, Opened
from isthmus.sdk.testing import FakeContext
from isthmus_netsuite.simulator import NetSuiteSimulator

MakeCharge = Callable[..., ChargeDetermined]


@pytest.fixture
def job(simulator: NetSuiteSimulator, ctx: FakeContext) -> str:
    """A customer and a job that were there before isthmus; the crosswalk knows the job."""
    acts = simulator.acts()
    parent = acts["create_record"](
        "customer", {"companyName": "Northwind", "vatRegNumber": "DE123", "currency": {"id": "1"}}
    )
    made: str = acts["create_record"]("job", {"companyName": "Rollout", "parent": {"id": parent["id"]}})["id"]
    ctx.keep([Link(kind="project", key="crm:P1", remote_id=made)])
    return made


async def match(opened: Opened, *events: BusinessEvent) -> dict[str, Candidate]:
    assert opened.sink is not None
    found = await opened.sink.match(events)
    assert found is not None
    return {each.remote_id: each for each in found}


def time_bill(simulator: NetSuiteSimulator, job: str, **changes: Any) -> str:
    fields = {
        "employee": {"id": "1"},
        "customer": {"id": job},
        "item": {"id": "1"},
        "tranDate": "2026-10-05",
        "hours": "8:00",
        "price": {"id": "-1"},
        "rate": "150.00",
        "isBillable": True,
    }
    return f"timeBill/{simulator.acts()['create_record']('timeBill', {**fields, **changes})['id']}"


async def test_time_is_found_by_job_and_day_whatever_its_hours(
    job: str, simulator: NetSuiteSimulator, opened: Opened, charge: MakeCharge
) -> None:
    id = time_bill(simulator, job, hours="7:30")
    time_bill(simulator, job, tranDate="2026-10-06")
    before = len(list(simulator.ledger.of_kind("timeBill")))
    fact = charge("billing:t")
    found = await match(opened, fact)
    assert list(found) == [id], "the other day is outside of the days that were asked about"
    assert (found[id].amount, found[id].quantity, found[id].dated) == (
        Decimal("1125.00"),
        Decimal("7.5"),
        date(2026, 10, 5),
    )
    receipt = found[id].stands_for[fact.id]
    assert receipt.remote_id == id
    assert receipt.links == [Link(kind="charge", key="billing:t", remote_id=id)]
    assert [each.kind for each in receipt.facts] == ["charge.posted"]
    assert not found[id].sure
    assert len(list(simulator.ledger.of_kind("timeBill"))) == before


async def test_time_of_another_person_is_extra_where_the_crosswalk_knows_both(
    job: str, simulator: NetSuiteSimulator, opened: Opened, ctx: FakeContext, charge: MakeCharge
) -> None:
    ctx.keep([Link(kind="resource", key="psa:7", remote_id="2")])
    id = time_bill(simulator, job)
    found = await match(opened, charge("billing:t"))
    assert found[id].stands_for == {}


async def test_a_record_under_our_key_is_sure_and_one_under_another_is_none(
    job: str, simulator: NetSuiteSimulator, opened: Opened, charge: MakeCharge
) -> None:
    ours = time_bill(simulator, job, custcol_isth_charge="billing:t")
    time_bill(simulator, job, custcol_isth_charge="billing:other")
    found = await match(opened, charge("billing:t"))
    assert list(found) == [ours]
    assert found[ours].sure


async def test_an_invoice_is_found_by_job_and_day_and_others_are_not_told(
    job: str, simulator: NetSuiteSimulator, opened: Opened, charge: MakeCharge
) -> None:
    lines = [{"item": {"id": "1"}, "quantity": "1", "rate": "480.00", "amount": "480.00"}]
    fields = {"entity": {"id": job}, "currency": {"id": "1"}, "item": {"items": lines}}
    create = simulator.acts()["create_record"]
    mine = create("invoice", {**fields, "tranDate": "2026-10-05"})
    create("invoice", {**fields, "tranDate": "2026-10-07"})
    fact = charge(
        "billing:m", origin="milestone", quantity="1", unit_price="500.00", earned_on=date(2026, 10, 8)
    )
    found = await match(opened, fact)
    assert list(found) == [f"invoice/{mine['id']}"]
    (candidate,) = found.values()
    assert candidate.amount == Decimal("480.00")
    assert [link.kind for link in candidate.stands_for[fact.id].links] == ["charge", "invoice"]


async def test_customers_are_found_by_tax_number_or_name_and_jobs_by_name(
    job: str,
    simulator: NetSuiteSimulator,
    opened: Opened,
    customer: CustomerChanged,
    project: ProjectCreated,
) -> None:
    found = await match(opened, customer, project)
    (known,) = simulator.ledger.of_kind("customer")
    assert {id: list(each.stands_for) for id, each in found.items()} == {
        f"customer/{known.id}": [customer.id],
        f"job/{job}": [project.id],
    }
    assert found[f"job/{job}"].stands_for[project.id].links == [
        Link(kind="project", key="crm:P1", remote_id=job)
    ]
