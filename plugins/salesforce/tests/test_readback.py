"""What an org holds and offers, read back by another way than the poll."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.sdk import CensusRow, Opened
from isthmus.sdk.testing import read_all
from isthmus_salesforce.certinia.settings import CertiniaSettings
from isthmus_salesforce.simulator import Salesforce

from .test_certinia_sink import Work, work
from .test_sink import paid

__all__ = ["work"]

Connect = Callable[..., AbstractAsyncContextManager[Opened]]
JANUARY = (date(2026, 1, 1), date(2026, 1, 31))


async def census(opened: Opened, kind: str, since: date, until: date) -> list[CensusRow]:
    assert opened.census is not None
    return [row async for row in opened.census.rows(kind, since, until)]


async def test_deals_and_invoices_are_counted_by_their_day(
    sim: Salesforce, win: Callable[..., Any], connect: Connect
) -> None:
    deals = [win(name=f"Deal {n}", signed_on=f"2026-01-{n:02}")["opportunity"] for n in range(1, 6)]
    sim.acts()["reopen_deal"](deals[4])
    async with connect(page_size=2) as opened:
        assert opened.sink is not None
        await opened.sink.deliver(paid("erp:1", "60.10"))
        assert await census(opened, "deal", *JANUARY) == [
            CensusRow(key=f"crm:{id}", remote_id=id, status="won", amount=Decimal("20000.00"), currency="EUR")
            for id in deals[:4]
        ]
        some = await census(opened, "deal", date(2026, 1, 2), date(2026, 1, 3))
        assert [row.remote_id for row in some] == deals[1:3]
        (invoice,) = await census(opened, "invoice", *JANUARY)
        assert (invoice.key, invoice.status) == ("erp:1", "partly_paid")
        assert await census(opened, "invoice", date(2026, 2, 1), date(2026, 2, 28)) == []


async def test_approved_work_is_counted_and_agrees_with_what_was_told(
    sim: Salesforce, connect: Connect, work: Work, clock: Any
) -> None:
    sim.acts()["approve_expense"](work.expense)
    sim.acts()["approve_milestone"](work.milestone, "2026-01-30")
    clock.pass_s(1)
    settings = CertiniaSettings(default_service="consulting")
    async with connect(pack="certinia-psa", certinia=settings) as opened:
        assert opened.source is not None and opened.census is not None
        streams = {"time": "timecards", "expense": "expenses", "milestone": "milestones"}
        assert streams.keys() == opened.census.kinds
        for kind, stream in streams.items():
            told, _ = await read_all(opened.source, stream)
            assert {row.key for row in await census(opened, kind, *JANUARY)} == {e.key for e in told}, kind
        (day,) = await census(opened, "time", date(2026, 1, 6), date(2026, 1, 6))
        assert (day.key, day.quantity) == (f"crm:{work.days[1]}", Decimal("8.00"))
        # Fifty cents of drift behind our back are seen.
        expense = sim.ledger.get("pse__Expense__c", work.expense)
        assert expense is not None
        expense.fields["pse__Amount__c"] = 10.5
        (drifted,) = await census(opened, "expense", *JANUARY)
        assert drifted.amount == Decimal("10.50")


async def test_a_record_that_nobody_can_read_is_counted_all_the_same(
    sim: Salesforce, connect: Connect, work: Work
) -> None:
    split = sim.ledger.get("pse__Timecard__c", work.split)
    assert split is not None
    split.fields["pse__End_Date__c"] = "2026-03-01"
    async with connect(pack="certinia-psa") as opened:
        (row,) = await census(opened, "time", *JANUARY)
    assert (row.remote_id, row.status) == (work.split, "unreadable")


@pytest.mark.parametrize(
    ("pack", "entity", "setting", "id"),
    [
        pytest.param("sales", "API version", "api_version", "v64.0", id="versions"),
        pytest.param("sales", "field of Account", "names", "External_Key__c", id="other fields"),
        pytest.param("certinia-psa", "role", "certinia.services", "Senior Consultant", id="roles"),
        pytest.param("certinia-psa", "project stage", "certinia.stages", "In Progress", id="stages"),
        pytest.param("certinia-psa", "expense type", "certinia.categories", "Airfare", id="types"),
    ],
)
async def test_an_admin_is_told_what_settings_may_name(
    connect: Connect, pack: str, entity: str, setting: str, id: str
) -> None:
    async with connect(pack=pack) as opened:
        assert opened.discover is not None
        found = await opened.discover.found()
    assert id in {one.id for one in found if (one.entity, one.setting) == (entity, setting)}
    assert "Legal_Entity__c" not in {one.id for one in found}, "what is used already is not offered"


async def test_an_object_that_is_missing_does_not_hide_the_others(connect: Connect) -> None:
    async with connect(names={"Opportunity": "Nothing__c"}) as opened:
        assert opened.discover is not None
        found = await opened.discover.found()
    assert "field of Account" in {one.entity for one in found}
