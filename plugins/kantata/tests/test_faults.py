"""Every fault the simulator can play, at every request of every read and write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from plugins.kantata.tests.test_sink import AMENDED, COMMON, MOVED, PAID, PROJECT, RELEASED, SIGNED, VOIDED

from isthmus.events import BusinessEvent, ChargeHeld, ScheduledInstallment, ScheduleRevised
from isthmus.sdk import (
    ConnectorError,
    Delivery,
)
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext, deliver_patiently, read_patiently
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act, Clock, Psa

STREAMS = (
    "users",
    "time_entries",
    "expenses",
    "milestones",
    "projects",
    "allocations",
    "allocation_removals",
)
LATE_S = 0.05
READS = [
    pytest.param({"fault": "status", "status": 500}, id="500"),
    pytest.param({"fault": "status", "status": 503}, id="503"),
    pytest.param({"fault": "throttle", "retry_after_s": 0.01}, id="429"),
    pytest.param({"fault": "lose_response"}, id="no answer"),
    pytest.param({"fault": "late_commit", "delay_s": LATE_S}, id="an answer given up"),
    pytest.param({"fault": "delay", "delay_s": 0.01}, id="a slow answer"),
    pytest.param({"fault": "drip", "delay_s": 0.2}, id="an answer that drips"),
    pytest.param({"fault": "truncate"}, id="half an answer"),
    pytest.param({"fault": "wrong_body"}, id="an empty 200"),
    pytest.param({"fault": "wrong_body", "body": "<html>"}, id="a page instead"),
    pytest.param(
        {"fault": "wrong_body", "body": {"errors": [{"type": "system"}]}}, id="an error under a 200"
    ),
]


@pytest.fixture
def lived(do: Act, clock: Clock, project: str, consultant: str) -> None:
    """An account with something in every stream."""
    own = {"workspace": project, "user": consultant}
    month = do("work_month", workspace=project, users=[consultant], month="2026-10", entries=3, seed=1)
    clock.move(hours=1)
    do("reject_time", entries=month["entries"][:1])
    cost = {"date": "2026-10-05", "category": "Travel", "amount_in_cents": 100, "currency": "EUR"}
    do("approve_expenses", expenses=[do("add_expense", **own, **cost)["id"]])
    do("complete_milestone", story=do("add_milestone", workspace=project, title="Go live")["id"])
    do("move_project", workspace=project, status="active")
    do("add_allocation", **own, start="2026-11-09", end="2026-11-13", hours=40)


def _deadline_s(fault: dict[str, Any]) -> float:
    """Short only where the fault is to outlast it: a busy machine is no fault."""
    return 0.3 if fault["fault"] == "drip" else 10.0


@pytest.mark.parametrize("fault", READS)
async def test_a_fault_at_any_request_of_a_read_costs_a_pull_and_no_fact(
    psa: Psa, simulator: KantataSimulator, lived: None, fault: dict[str, Any]
) -> None:
    async with psa(page_size=2, deadline_s=_deadline_s(fault)) as opened:
        assert opened.source is not None
        for stream in STREAMS:
            whole, _ = await read_patiently(opened.source, stream)
            for skip in range(4):
                planned = Fault(**fault, match=Match(method="GET"), skip=skip)
                simulator.faults.faults[:] = [planned]
                told, failures = await read_patiently(opened.source, stream)
                assert told == whole, f"{stream}, request {skip + 1}"
                if fault["fault"] != "drip":
                    assert failures <= planned.fired, f"{stream}, request {skip + 1}"


WRITES = [param for param in READS if param.id != "an answer given up"] + [
    pytest.param({"fault": "late_commit", "delay_s": LATE_S}, id="done a little later"),
]


def story() -> Iterator[BusinessEvent]:
    """One fact of every kind the connector takes, in the order a project lives."""
    yield from (PROJECT, SIGNED, AMENDED, MOVED)
    common = {name: value for name, value in COMMON.items() if name != "source"}
    amount = ScheduledInstallment(
        key="crm:i1", due_on=date(2026, 10, 31), amount=Decimal("5.00"), state="planned", line="F"
    )
    yield ScheduleRevised(
        **common,
        source="schedule",
        contract="crm:800",
        project="crm:006",
        currency="EUR",
        revision=1,
        installments=[amount],
    )
    yield ChargeHeld(
        **common,
        source="billing",
        origin="retainer",
        origin_key="crm:800/R/2026-10",
        origin_revision=1,
        reason="no rate",
        detail="the contract names none",
        project="crm:006",
    )
    yield from (RELEASED, PAID, VOIDED)


@pytest.mark.parametrize("fault", WRITES)
async def test_a_fault_at_any_request_of_a_write_makes_nothing_twice(
    psa: Psa, simulator: KantataSimulator, context: FakeContext, fault: dict[str, Any]
) -> None:
    async with psa(billing_milestones=True, deadline_s=_deadline_s(fault)) as opened:
        assert opened.sink is not None
        for event in story():
            for skip in range(2):
                simulator.faults.faults[:] = [Fault(**fault, skip=skip)]
                delivery = Delivery(key=event.id, lane="psa", event=event)
                context.keep((await deliver_patiently(opened.sink, delivery, wait_s=4 * LATE_S)).links)
    simulator.faults.faults.clear()
    await trio.sleep(2 * LATE_S)
    kinds = ("Workspace", "Story", "BillingMilestone", "ExternalReference")
    made = [(record.kind, record.external_key) for record in simulator.ledger.all() if record.kind in kinds]
    assert len(made) == len(set(made)), f"made twice: {sorted(made, key=str)}"
    assert {kind for kind, _ in made} == set(kinds)


async def test_every_error_of_the_connector_is_one_the_daemon_knows(psa: Psa) -> None:
    """Nothing else may come out of a read or a write: it would be taken for a bug."""
    async with psa(base_url="http://127.0.0.1:9/api/v1") as opened:
        assert opened.source is not None and opened.sink is not None
        for stream in STREAMS:
            with pytest.raises(ConnectorError):
                await opened.source.pull(stream, None)
        with pytest.raises(ConnectorError):
            await opened.sink.deliver(Delivery(key="k", lane="psa", event=PROJECT))
