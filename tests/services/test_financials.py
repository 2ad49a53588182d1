"""The money of a project, in the same figures as everywhere else."""

from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings

from isthmus.events import BusinessEvent, decode
from isthmus.ops.explain import explain
from isthmus.ops.financials import PAGE, project_financials
from isthmus.ops.story import tell
from isthmus.ops.unbilled import UnbilledLedger, open_work_items, read_page
from isthmus.process.rules.billing import Billing
from isthmus.process.states import MemoryStates
from isthmus.store.face import Store
from isthmus.store.open import open_memory_store
from tests.process.histories import histories, written
from tests.services.rig import NOW, Site
from tests.services.world import PROJECT, history, invoice, keep, time


async def ask(site: Site, project: str = PROJECT) -> dict[str, Any]:
    found: dict[str, Any] = (await site.ask("getProjectFinancials", key=project)).json()
    return found


async def test_a_project_tells_what_is_charged_held_unbilled_invoiced_paid_and_still_to_be_earned(
    site: Site,
) -> None:
    await keep(site.inner, history())
    told = await ask(site)
    assert (told["project"], told["name"], told["currency"]) == (PROJECT, "Data platform", "USD")
    assert told["amounts"] == [
        {
            "currency": "USD",
            "charged": "2000.00",
            "posted": "1700.00",
            "invoiced": "800.00",
            "to_invoice": "1200.00",
            "invoice_total": "880.00",
            "credited": "80.00",
            "paid": "500.00",
            "open_amount": "300.00",
        }
    ]
    assert told["held"] == [{"reason": "cap_reached", "items": 1, "hours": "2.50", "amount": "250.00"}]
    assert told["unbilled"] == [{"age": "gt_7d", "cause": "blocked", "entries": 1, "hours": "5.50"}]
    backlog = {name: told["backlog"][name] for name in ("amount", "currency", "earned")}
    assert backlog == {"amount": "0.00", "currency": "USD", "earned": "2000.00"}
    assert [
        (each["status"]["invoice"], each["status"]["state"], each["shared"]) for each in told["invoices"]
    ] == [
        ("erp:1", "part_paid", False),
        ("erp:2", "voided", False),
    ]


async def test_an_invoice_of_several_projects_says_so(site: Site) -> None:
    told = history()
    charge = next(each for each in told if each.kind == "charge.determined")
    bill = invoice("9", [str(getattr(charge, "charge")), "billing:other"], "4000.00", project=None)  # noqa: B009
    await keep(site.inner, [*told, bill])
    shared = {each["status"]["invoice"]: each["shared"] for each in (await ask(site))["invoices"]}
    assert shared == {"erp:1": False, "erp:2": False, "erp:9": True}


async def unbilled_of_all(store: Store) -> dict[tuple[str, str], Decimal]:
    """As `status` and the gauges have it: counted over the whole log."""
    ledger = UnbilledLedger()
    while True:
        page = await store.read(lambda tx: read_page(tx, ledger))
        if page.upto == ledger.upto:
            break
        ledger.apply(page)
    items = await store.read(open_work_items)
    return {(row.age, row.cause): row.hours for row in ledger.rows(NOW, items)}


async def test_the_figures_of_all_projects_sum_up_to_those_of_status_and_explain(site: Site) -> None:
    await keep(site.inner, history())
    told = [await ask(site, project) for project in (PROJECT, "crm:elsewhere")]
    unbilled: dict[tuple[str, str], Decimal] = {}
    for row in (row for each in told for row in each["unbilled"]):
        place = row["age"], row["cause"]
        unbilled[place] = unbilled.get(place, Decimal(0)) + Decimal(row["hours"])
    assert unbilled == await unbilled_of_all(site.inner)
    parts = [
        part
        for project in (PROJECT, "psa:e6")
        for origin in explain(await site.inner.read(lambda tx, key=project: tell(tx, key)))  # type: ignore[misc]
        for part in origin.parts
    ]
    charged = sum((part.amount for part in parts if part.state == "billed" and part.amount), Decimal(0))
    held = sum((part.quantity for part in parts if part.state == "held" and part.quantity), Decimal(0))
    assert charged == sum(Decimal(row["charged"]) for each in told for row in each["amounts"])
    assert held == sum(Decimal(row["hours"]) for each in told for row in each["held"])


async def test_a_project_of_many_pages_is_read_whole_and_up_to_one_place(site: Site) -> None:
    entries = [time(f"n{n}", "1.00") for n in range(PAGE + 3)]
    await keep(site.inner, entries)
    found = await project_financials(site.inner, PROJECT, NOW)
    assert found is not None and found.position == PAGE + 3
    assert [(row.cause, row.entries) for row in found.unbilled] == [("in_flight", PAGE + 3)]


@pytest.mark.parametrize("key", ["crm:nobody", "psa:e1", " "])
async def test_what_is_no_project_is_not_found(site: Site, key: str) -> None:
    await keep(site.inner, history())
    assert (await site.ask("getProjectFinancials", key=key)).status_code == 404


def lived(history: tuple[bytes, list[bytes]]) -> list[BusinessEvent]:
    """The facts of a random history, each followed by what billing makes of it."""
    billing, states = Billing(), MemoryStates()
    events: list[BusinessEvent] = []
    for fact in written(history):
        if "nth" in fact:
            continue  # a charge that a close overtook, which names none
        event = decode(msgspec.json.encode(fact))
        events.append(event)
        if event.kind in billing.consumes:
            events += billing.apply(event, states)
    return events


async def compared(events: list[BusinessEvent]) -> None:
    """What projects tell, against what explain tells of each origin and what status counts over all."""
    async with open_memory_store() as store:
        await keep(store, events)
        projects = {str(key) for event in events if (key := getattr(event, "project", None))}
        told = [each for key in projects if (each := await project_financials(store, key, NOW)) is not None]
        origins = {str(key) for event in events if (key := getattr(event, "origin_key", None))}
        flat = [
            part
            for key in sorted(origins)
            for origin in explain(await store.read(partial(tell, asked=key)))
            for part in origin.parts
            if origin.origin_key == key
        ]
        billed: dict[str, Decimal] = {}
        for part in flat:
            if part.state == "billed" and part.amount is not None:
                billed[part.currency] = billed.get(part.currency, Decimal(0)) + part.amount
        charged: dict[str, Decimal] = {}
        for row in (row for each in told for row in each.amounts):
            charged[row.currency] = charged.get(row.currency, Decimal(0)) + row.charged
        assert {name: amount for name, amount in charged.items() if amount} == {
            name: amount for name, amount in billed.items() if amount
        }
        assert sum(row.items for each in told for row in each.held) == sum(
            part.state == "held" for part in flat
        )
        unbilled: dict[tuple[str, str], Decimal] = {}
        for left in (left for each in told for left in each.unbilled):
            place = left.age, left.cause
            unbilled[place] = unbilled.get(place, Decimal(0)) + left.hours
        assert unbilled == await unbilled_of_all(store)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(histories)
def test_in_every_history_projects_agree_with_explain_and_status(history: tuple[bytes, list[bytes]]) -> None:
    trio.run(compared, lived(history))


async def unbilled_here(site: Site) -> list[str]:
    await keep(site.inner, [time("e1", "8.00"), time("e1", "8.00", revision=2, project="crm:elsewhere")])
    return [row["hours"] for row in (await ask(site))["unbilled"]]


async def test_an_entry_that_went_to_another_project_counts_there(site: Site) -> None:
    assert await unbilled_here(site) == []
    assert [row["hours"] for row in (await ask(site, "crm:elsewhere"))["unbilled"]] == ["8.00"]


async def test_mutant_a_look_at_the_projects_own_story_alone_counts_it_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*given: object) -> dict[int, object]:
        return {}

    monkeypatch.setattr("isthmus.ops.financials._subjects", nothing)
    assert await unbilled_here(site) == ["8.00"]
