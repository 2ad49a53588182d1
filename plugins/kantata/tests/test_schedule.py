"""The billing schedule of a contract, shown as billing milestones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from isthmus.events import ScheduledInstallment, ScheduleRevised
from isthmus.sdk import Delivery, DeliveryClass, Link, Receipt, Rejected, Sink, Unmet, Unsure
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act, Psa


def amount(key: str, due_on: str, worth: str, state: str = "planned") -> ScheduledInstallment:
    return ScheduledInstallment(
        key=key, due_on=date.fromisoformat(due_on), amount=Decimal(worth), state=state, line="F"
    )


def schedule(
    *amounts: ScheduledInstallment, revision: int = 1, contract: str = "crm:800", **more: Any
) -> Delivery:
    given = {"project": "crm:006", "currency": "EUR", **more}
    event = ScheduleRevised(
        source="schedule",
        entity="main",
        occurred_at=datetime(2026, 10, 1, 12, tzinfo=UTC),
        contract=contract,
        revision=revision,
        installments=list(amounts),
        **given,
    )
    return Delivery(key=event.id, lane="psa", event=event)


OCTOBER, NOVEMBER = amount("crm:i1", "2026-10-31", "1000.00"), amount("crm:i2", "2026-11-30", "1000.50")


@pytest.fixture
async def sink(psa: Psa, context: FakeContext, project: str) -> AsyncIterator[Sink]:
    context.keep([Link(kind="project", key="crm:006", remote_id=project)])
    async with psa(billing_milestones=True) as opened:
        assert opened.sink is not None
        yield opened.sink


def shown(simulator: KantataSimulator) -> dict[str, tuple[int, str, str, str]]:
    """Amount, day, sync status and state of each billing milestone, by our key."""
    found = {}
    for row in simulator.ledger.of_kind("BillingMilestone"):
        (reference,) = simulator.books.references("BillingMilestone", row.id)
        assert reference.external_key == row.external_key
        found[str(row.external_key)] = (
            row.fields["amount_in_cents"],
            row.fields["date_to_invoice"],
            reference.fields["status"],
            reference.fields["external_status"],
        )
    return found


async def test_each_amount_is_a_billing_milestone_with_its_state(
    sink: Sink, simulator: KantataSimulator
) -> None:
    receipt = await sink.deliver(schedule(OCTOBER, NOVEMBER))
    assert shown(simulator) == {
        "crm:i1": (100_000, "2026-10-31", "pending", "planned"),
        "crm:i2": (100_050, "2026-11-30", "pending", "planned"),
    }
    assert [link.key for link in receipt.links] == ["crm:i1", "crm:i2"]


async def test_the_same_schedule_again_writes_nothing(sink: Sink, simulator: KantataSimulator) -> None:
    await sink.deliver(schedule(OCTOBER, NOVEMBER))
    writes = sum(len(record.writes) for record in simulator.ledger.all())
    again = await sink.deliver(schedule(OCTOBER, NOVEMBER))
    assert sum(len(record.writes) for record in simulator.ledger.all()) == writes
    assert await sink.find(schedule(OCTOBER, NOVEMBER)) == Receipt(
        remote_id=again.remote_id, detail=again.detail.replace("shown", "found"), links=again.links
    )


@pytest.mark.parametrize(
    ("state", "sync", "cents"),
    [
        pytest.param("planned", "pending", 100_000, id="planned"),
        pytest.param("paused", "pending", 100_000, id="paused with its project"),
        pytest.param("held", "failed", 100_000, id="held: somebody has to act"),
        pytest.param("billed", "successful", 100_000, id="billed"),
        pytest.param("cancelled", "successful", 0, id="cancelled: nothing to invoice"),
    ],
)
async def test_where_an_amount_stands(
    sink: Sink, simulator: KantataSimulator, state: str, sync: str, cents: int
) -> None:
    await sink.deliver(schedule(OCTOBER))
    await sink.deliver(schedule(amount("crm:i1", "2026-10-31", "1000.00", state), revision=2))
    assert shown(simulator)["crm:i1"] == (cents, "2026-10-31", sync, state)


async def test_a_change_order_moves_adds_and_drops(sink: Sink, simulator: KantataSimulator) -> None:
    await sink.deliver(schedule(OCTOBER, NOVEMBER))
    later = amount("crm:i1", "2026-12-15", "1500.00")
    await sink.deliver(schedule(later, amount("crm:i3", "2027-01-31", "1.00"), revision=2))
    assert shown(simulator) == {
        "crm:i1": (150_000, "2026-12-15", "pending", "planned"),
        "crm:i2": (0, "2026-11-30", "successful", "dropped"),
        "crm:i3": (100, "2027-01-31", "pending", "planned"),
    }


async def test_two_contracts_of_a_project_leave_each_other_alone(
    sink: Sink, simulator: KantataSimulator
) -> None:
    await sink.deliver(schedule(OCTOBER))
    await sink.deliver(schedule(amount("crm:j1", "2026-10-31", "5.00"), contract="crm:801"))
    await sink.deliver(schedule(OCTOBER, revision=2))
    assert shown(simulator)["crm:j1"] == (500, "2026-10-31", "pending", "planned")


async def test_an_amount_of_a_milestone_stands_beside_its_story(
    sink: Sink, simulator: KantataSimulator, do: Act, context: FakeContext, project: str
) -> None:
    story = do("add_milestone", workspace=project, title="Go live")["id"]
    context.keep([Link(kind="milestone", key="crm:i1", remote_id=story)])
    await sink.deliver(schedule(OCTOBER))
    (row,) = simulator.ledger.of_kind("BillingMilestone")
    assert row.fields["story_id"] == story


async def test_a_schedule_half_written_is_finished_not_repeated(
    sink: Sink, simulator: KantataSimulator
) -> None:
    assert sink.delivery_class(schedule(OCTOBER).event) is DeliveryClass.B
    lost = Fault(fault="lose_response", skip=1, match=Match(method="POST"))
    simulator.faults.add([lost])
    three = schedule(OCTOBER, NOVEMBER, amount("crm:i3", "2026-12-31", "1.00"))
    with pytest.raises(Unsure):
        await sink.deliver(three)
    assert await sink.find(three) is None, "one of three is missing"
    await sink.deliver(three)
    assert len(list(simulator.ledger.of_kind("BillingMilestone"))) == 3
    assert await sink.find(three) is not None


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        pytest.param(schedule(OCTOBER, currency=None), "missing", id="no currency, no subunits"),
        pytest.param(schedule(amount("crm:i1", "2026-10-31", "0.005")), "value", id="half a cent"),
        pytest.param(
            schedule(amount("crm:i1", "2026-10-31", "0.5"), currency="JPY"), "value", id="half a yen"
        ),
    ],
)
async def test_an_amount_that_would_be_cut_is_refused(
    sink: Sink, simulator: KantataSimulator, delivery: Delivery, reason: str
) -> None:
    with pytest.raises(Rejected) as caught:
        await sink.deliver(delivery)
    assert caught.value.reason == reason
    assert shown(simulator) == {}


async def test_a_project_that_is_not_there_yet_is_waited_for(sink: Sink) -> None:
    with pytest.raises(Unmet):
        await sink.deliver(schedule(OCTOBER, project="crm:007"))


async def test_a_schedule_is_refused_where_it_is_not_wanted(psa: Psa) -> None:
    async with psa() as opened:
        assert opened.sink is not None
        with pytest.raises(Rejected, match="billing_milestones is off"):
            await opened.sink.deliver(schedule(OCTOBER))
