"""Where an hour stands, seen by people who never look into isthmus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from plugins.kantata.tests.conftest import Act, Psa

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    ChargeWaived,
)
from isthmus.sdk import Delivery, DeliveryClass, Link, Receipt, Rejected, Sink, Unmet, Unsure
from isthmus.sdk.testing import FakeContext
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from collections.abc import Callable

COMMON: dict[str, Any] = {
    "source": "billing",
    "entity": "main",
    "occurred_at": datetime(2026, 11, 2, 12, tzinfo=UTC),
}


def charged(origin_key: str, charge: str = "billing:ch1", **more: Any) -> ChargeDetermined:
    given: dict[str, Any] = {
        "origin": "time",
        "amount": Decimal("1125.00"),
        "quantity": Decimal("7.50"),
        "reverses": None,
        **more,
    }
    return ChargeDetermined(
        **COMMON,
        id=f"{charge}/{given['reverses']}",
        charge=charge,
        contract="crm:800",
        line="T",
        project="crm:006",
        origin_key=origin_key,
        origin_revision=1,
        unit_price=Decimal("150.00"),
        currency="EUR",
        earned_on=date(2026, 10, 5),
        posting_on=date(2026, 10, 31),
        dimensions={},
        explanation=[],
        **given,
    )


def posted(charge: str = "billing:ch1") -> ChargePosted:
    return ChargePosted(
        **COMMON,
        charge=charge,
        system="erp",
        remote_id="TB-4711",
        posted_on=date(2026, 11, 1),
        amount=Decimal("1125.00"),
        currency="EUR",
    )


def hold(kind: type[ChargeHeld] | type[ChargeReleased], origin_key: str) -> BusinessEvent:
    return kind(
        **COMMON,
        origin="time",
        origin_key=origin_key,
        origin_revision=1,
        reason="no rate",
        detail="the contract names no rate for consulting on 2026-10-05",
        project="crm:006",
    )


@pytest.fixture
async def sink(psa: Psa, context: FakeContext, project: str) -> AsyncIterator[Sink]:
    context.keep([Link(kind="project", key="crm:006", remote_id=project)])
    async with psa() as opened:
        assert opened.sink is not None
        yield opened.sink


@pytest.fixture
def send(sink: Sink, context: FakeContext) -> Callable[..., Any]:
    async def sent(*events: BusinessEvent) -> Receipt:
        for event in events:
            receipt = await sink.deliver(Delivery(key=event.id, lane="psa-status", event=event))
            context.keep(receipt.links)
        return receipt

    return sent


@pytest.fixture
def entry(do: Act, project: str, consultant: str) -> str:
    made = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=7.5, service="consulting"
    )
    return str(made["id"])


def on(simulator: KantataSimulator, kind: str, id: str) -> list[tuple[str, str, str]]:
    """Status, state and sentence of every reference on a record."""
    return [
        (row.fields["status"], row.fields["external_status"], row.fields["external_message"])
        for row in simulator.books.references(kind, id)
    ]


async def test_an_hour_is_pending_until_the_books_have_it(
    send: Callable[..., Any], simulator: KantataSimulator, entry: str
) -> None:
    await send(charged(f"psa:{entry}"))
    assert on(simulator, "TimeEntry", entry) == [
        ("pending", "charged", "7.50 x 150.00 = 1125.00 EUR, for 2026-10; not in the books yet")
    ]
    await send(posted())
    assert on(simulator, "TimeEntry", entry) == [
        ("successful", "posted", "1125.00 EUR, in erp as TB-4711, 2026-11-01")
    ]


async def test_a_held_hour_has_failed_and_says_why(
    send: Callable[..., Any], simulator: KantataSimulator, entry: str
) -> None:
    await send(hold(ChargeHeld, f"psa:{entry}"))
    assert on(simulator, "TimeEntry", entry) == [
        ("failed", "held", "no rate: the contract names no rate for consulting on 2026-10-05")
    ]
    await send(hold(ChargeReleased, f"psa:{entry}"))
    assert on(simulator, "TimeEntry", entry) == [("pending", "released", "no longer held for no rate")]


async def test_an_hour_that_is_not_billed_is_done(
    send: Callable[..., Any], simulator: KantataSimulator, entry: str
) -> None:
    waived = ChargeWaived(
        **COMMON,
        origin="time",
        origin_key=f"psa:{entry}",
        origin_revision=1,
        reason="not billable",
        quantity=Decimal("7.50"),
    )
    await send(waived)
    assert on(simulator, "TimeEntry", entry) == [("successful", "not_billed", "not billable")]


async def test_a_correction_is_not_covered_by_the_posting_of_what_it_replaced(
    send: Callable[..., Any], simulator: KantataSimulator, entry: str
) -> None:
    origin = f"psa:{entry}"
    await send(
        charged(origin),
        charged(origin, "billing:ch2", amount=Decimal("-1125.00"), reverses="billing:ch1"),
        charged(origin, "billing:ch3", amount=Decimal("900.00"), quantity=Decimal("6.00")),
    )
    receipt = await send(posted("billing:ch1"))
    assert receipt.detail == "a newer decision is shown"
    ((status, state, message),) = on(simulator, "TimeEntry", entry)
    assert (status, state) == ("pending", "charged")
    assert message.startswith("6.00 x 150.00 = 900.00 EUR")


async def test_charges_of_one_entry_are_links_of_their_own(sink: Sink, entry: str) -> None:
    """The crosswalk links a record to one key only: a correction must not be a conflict."""
    origin = f"psa:{entry}"
    links = [
        link
        for event in (
            charged(origin),
            charged(origin, "billing:ch2", amount=Decimal("-1125.00"), reverses="billing:ch1"),
            charged(origin, "billing:ch3", amount=Decimal("900.00")),
        )
        for link in (await sink.deliver(Delivery(key=event.id, lane="psa-status", event=event))).links
    ]
    assert len({link.key for link in links}) == len({link.remote_id for link in links}) == 3


async def test_entries_no_rule_has_looked_at_are_a_filter_of_kantatas(
    send: Callable[..., Any], simulator: KantataSimulator, entry: str, do: Act, project: str, consultant: str
) -> None:
    from isthmus_kantata.simulator.listing import listed

    other = do("log_time", workspace=project, user=consultant, date="2026-10-06", hours=1, service="x")["id"]
    await send(charged(f"psa:{entry}"))
    page = listed(simulator.books, "time_entries", {"without_external_reference_service_name": "isthmus"})
    assert [row["id"] for row in page["results"]] == [other]


async def test_a_milestone_keeps_its_own_key_beside_the_status(
    send: Callable[..., Any], simulator: KantataSimulator, do: Act, context: FakeContext, project: str
) -> None:
    story = do("add_milestone", workspace=project, title="Go live")["id"]
    own = {"service_name": "isthmus", "service_model": "Milestone", "service_model_ref": "crm:m1"}
    simulator.books.refer("Story", story, own)
    context.keep([Link(kind="milestone", key="crm:m1", remote_id=story)])
    await send(charged("crm:m1", origin="milestone"))
    models = [row.fields["service_model"] for row in simulator.books.references("Story", story)]
    assert models == ["Milestone", "Charge"]


@pytest.mark.parametrize("origin", ["installment", "retainer", "subscription", "fixed_fee", "milestone"])
async def test_a_charge_without_an_entry_is_shown_on_its_project(
    send: Callable[..., Any], simulator: KantataSimulator, project: str, origin: str
) -> None:
    await send(charged("crm:800/F/2026-10", origin=origin), posted())
    ((status, state, _),) = on(simulator, "Workspace", project)
    assert (status, state) == ("successful", "posted")


async def test_an_expense_carries_its_status(
    send: Callable[..., Any], simulator: KantataSimulator, do: Act, project: str, consultant: str
) -> None:
    expense = do(
        "add_expense",
        workspace=project,
        user=consultant,
        date="2026-10-05",
        category="Travel",
        amount_in_cents=100,
        currency="EUR",
    )["id"]
    await send(charged(f"psa:{expense}", origin="expense"), posted())
    ((status, state, _),) = on(simulator, "Expense", expense)
    assert (status, state) == ("successful", "posted")


async def test_an_hour_of_another_system_is_a_wrong_route(send: Callable[..., Any]) -> None:
    with pytest.raises(Rejected) as caught:
        await send(charged("timesheets:9"))
    assert caught.value.reason == "mapping"


async def test_a_posting_waits_for_the_charge_to_be_shown(send: Callable[..., Any]) -> None:
    with pytest.raises(Unmet):
        await send(posted())


async def test_an_entry_that_was_deleted_is_refused_in_kantatas_words(
    send: Callable[..., Any], do: Act, entry: str
) -> None:
    do("delete_time", entry=entry)
    with pytest.raises(Rejected) as caught:
        await send(charged(f"psa:{entry}"))
    assert caught.value.reason == "mapping"
    assert "subject_id does not exist" in str(caught.value.peer_words)


async def test_a_lost_answer_is_sent_again_and_shows_one_reference(
    send: Callable[..., Any],
    sink: Sink,
    simulator: KantataSimulator,
    lose_next: Callable[..., None],
    entry: str,
) -> None:
    assert sink.delivery_class(charged(f"psa:{entry}")) is DeliveryClass.A
    lose_next()
    with pytest.raises(Unsure):
        await send(charged(f"psa:{entry}"))
    await send(charged(f"psa:{entry}"))
    assert len(on(simulator, "TimeEntry", entry)) == 1
