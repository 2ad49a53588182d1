"""Charges a hundred at a time, each with a fate of its own."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from isthmus.events import BusinessEvent, ChargeDetermined, CustomerChanged, ProjectCreated
from isthmus.sdk import Delivery, Opened, Receipt, Rejected, Throttled, Unmet, Unsure
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext
from isthmus_netsuite.simulator import NetSuiteSimulator

MakeCharge = Callable[..., ChargeDetermined]
OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]
RECORDS = "/services/rest/record/v1"


def sent(*events: BusinessEvent) -> list[Delivery]:
    return [Delivery(key=event.id, lane="netsuite", event=event) for event in events]


def names(outcomes: list[Any]) -> list[str]:
    return [one.remote_id if isinstance(one, Receipt) else type(one).__name__ for one in outcomes]


def keys(simulator: NetSuiteSimulator, kind: str = "timeBill") -> list[str]:
    return sorted(record.fields["custcol_isth_charge"] for record in simulator.ledger.of_kind(kind))


async def test_a_hundred_charges_are_one_request(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    charges = [charge(f"billing:c{n:03}", quantity="4.66", amount="699.00") for n in range(100)]
    async with open_with(writes="batch") as opened:
        assert opened.sink is not None and opened.sink.batch_max == 100
        outcomes = await opened.sink.deliver_many(sent(*charges))
    assert [one.facts[0].key for one in outcomes if isinstance(one, Receipt)] == [c.charge for c in charges]
    assert keys(simulator) == [c.charge for c in charges]
    assert [len(job["tasks"]) for job in simulator.memory["jobs"].values()] == [100]
    by_id = {
        record.id: record.fields["custcol_isth_charge"] for record in simulator.ledger.of_kind("timeBill")
    }
    told = {one.remote_id.partition("/")[2]: one.facts[0].key for one in outcomes if isinstance(one, Receipt)}
    assert told == by_id


async def test_each_row_meets_its_own_fate_in_its_own_place(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    milestone = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}
    expense = {"origin": "expense", "quantity": "1", "unit_price": "88.10"}
    dead = {"department": {"delivery": "1", "sales": "99"}}
    async with open_with(
        writes="batch", default_item=None, items={"consulting": "1"}, dimensions=dead
    ) as opened:
        assert opened.sink is not None
        held = [charge("billing:held"), charge("billing:other", quantity="7.00")]
        assert names(await opened.sink.deliver_many(sent(*held))) == ["timeBill/1", "timeBill/2"]
        outcomes = await opened.sink.deliver_many(
            sent(
                charge("billing:new1"),
                charge("billing:held"),
                charge("billing:other"),
                charge("billing:unmapped", service="training"),
                charge("billing:early", project="crm:P9"),
                charge("billing:exp1", **expense),
                charge("billing:dead", dimensions={"department": "sales"}),
                charge("billing:ms", **milestone),
                charge("billing:exp2", **expense),
                charge("billing:new2"),
            )
        )
    posted = {one.facts[0].key for one in outcomes if isinstance(one, Receipt)}
    assert posted == {f"billing:{name}" for name in ("new1", "held", "exp1", "ms", "exp2", "new2")}
    refused = {n: one for n, one in enumerate(outcomes) if not isinstance(one, Receipt)}
    assert {n: (type(one), getattr(one, "reason", "")) for n, one in refused.items()} == {
        2: (Rejected, "duplicate"),
        3: (Rejected, "mapping"),
        4: (Unmet, ""),
        6: (Rejected, "missing"),
    }
    assert (
        refused[6].peer_words
        == "USER_ERROR at department: Invalid Field Value 99 for the following field: department"
    )
    assert names(outcomes)[1] == "timeBill/1"
    assert len(keys(simulator)) == 4 and keys(simulator, "charge") == ["billing:exp1", "billing:exp2"]
    assert len(list(simulator.ledger.of_kind("invoice"))) == 1


@pytest.mark.parametrize(
    "again",
    [
        pytest.param([0, 1, 2, 3], id="the same batch: its key leads to the first job"),
        pytest.param([2, 0, 4, 5], id="another batch: what is there is adopted"),
        pytest.param([3], id="alone"),
    ],
)
async def test_a_lost_answer_of_a_batch_doubles_nothing(
    again: list[int],
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
) -> None:
    simulator.acts()["slow_jobs"](0.0)
    deliveries = sent(*(charge(f"billing:c{n}") for n in range(6)))
    simulator.faults.add([Fault(fault="lose_response", match=Match(method="PUT"))])
    async with open_with(writes="batch") as opened:
        assert opened.sink is not None
        first = await opened.sink.deliver_many(deliveries[:4])
        assert [type(one) for one in first] == [Unsure] * 4
        outcomes = await opened.sink.deliver_many([deliveries[n] for n in again])
        assert all(isinstance(one, Receipt) for one in outcomes)
    assert keys(simulator) == [f"billing:c{n}" for n in sorted({0, 1, 2, 3, *again})]


async def test_a_batch_still_in_the_queue_is_waited_for_by_its_key(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    simulator.acts()["slow_jobs"](3600)
    deliveries = sent(*(charge(f"billing:c{n}") for n in range(3)))
    async with open_with(writes="batch", job_patience_s=0.1) as opened:
        assert opened.sink is not None
        assert names(await opened.sink.deliver_many(deliveries)) == ["Unsure"] * 3

    async def done_at_last() -> None:
        await trio.sleep(0.2)
        simulator.jobs.perform("1")

    async with open_with(writes="batch") as opened, trio.open_nursery() as nursery:
        assert opened.sink is not None
        nursery.start_soon(done_at_last)
        outcomes = await opened.sink.deliver_many(deliveries)
    assert all(isinstance(one, Receipt) for one in outcomes)
    assert len(simulator.memory["jobs"]) == 1


async def test_a_period_that_closes_in_between_refuses_each_row_in_netsuites_words(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    async with open_with(writes="batch") as opened:
        assert opened.sink is not None
        await opened.sink.deliver_many(sent(charge("billing:c0")))  # the period is known as open
        simulator.acts()["close_period_before_next_post"]("2026-10")
        outcomes = await opened.sink.deliver_many(sent(charge("billing:c1"), charge("billing:c2")))
    assert [(type(one), getattr(one, "reason", "")) for one in outcomes] == [(Rejected, "period")] * 2
    assert keys(simulator) == ["billing:c0"]


async def test_a_throttle_concerns_what_was_not_there_yet(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    async with open_with(writes="batch") as opened:
        assert opened.sink is not None
        await opened.sink.deliver_many(sent(charge("billing:c0")))
        simulator.faults.add([Fault(fault="throttle", match=Match(method="PUT"))])
        outcomes = await opened.sink.deliver_many(sent(*(charge(f"billing:c{n}") for n in range(3))))
    assert names(outcomes) == ["timeBill/1", "Throttled", "Throttled"]
    assert isinstance(outcomes[1], Throttled)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"fault": "lose_response"}, id="the answer is lost"),
        pytest.param({"fault": "late_commit", "delay_s": 0.02}, id="done after the connection broke"),
        pytest.param({"fault": "truncate"}, id="half an answer"),
        pytest.param({"fault": "wrong_body"}, id="an empty 200"),
        pytest.param({"fault": "status", "status": 500}, id="500"),
        pytest.param({"fault": "throttle"}, id="429"),
    ],
)
async def test_a_fault_at_any_call_of_a_batch_neither_loses_nor_doubles(
    fault: dict[str, Any],
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
) -> None:
    simulator.acts()["slow_jobs"](0.0)
    async with open_with(writes="batch") as opened:
        assert opened.sink is not None
        await opened.sink.deliver_many(sent(charge("billing:warm")))
        for call in range(50):
            planned = Fault(skip=call, **fault)
            simulator.faults.faults[:] = [planned]
            left = sent(*(charge(f"billing:{call:02}{row}") for row in "abc"))
            for _ in range(10):
                outcomes = await opened.sink.deliver_many(left)
                left = [
                    delivery
                    for delivery, one in zip(left, outcomes, strict=True)
                    if not isinstance(one, Receipt)
                ]
                if not left:
                    break
            assert not left
            if not planned.fired:
                break
    assert call > 2 and not planned.fired
    made = [f"billing:{n:02}{row}" for n in range(call + 1) for row in "abc"]
    assert keys(simulator) == [*made, "billing:warm"]


async def test_master_data_in_a_batch_is_written_one_by_one(
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    ctx: FakeContext,
    customer: CustomerChanged,
    project: ProjectCreated,
) -> None:
    async with open_with(writes="batch") as opened:
        assert opened.sink is not None
        outcomes = await opened.sink.deliver_many(sent(customer, project))
        assert names(outcomes) == ["customer/2", "Unmet"]
    assert simulator.memory["jobs"] == {}


async def test_without_the_switch_many_are_delivered_one_by_one(
    shell: None, opened: Opened, charge: MakeCharge
) -> None:
    assert opened.sink is not None and opened.sink.batch_max == 1
    outcomes = await opened.sink.deliver_many(
        sent(charge("billing:c0"), charge("billing:c1", currency="SEK"))
    )
    assert names(outcomes) == ["timeBill/1", "Rejected"]
