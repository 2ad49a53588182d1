"""Rows that come late, and work that is cancelled anywhere."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from isthmus.events import ChargeDetermined
from isthmus.sdk import Delivery, Opened
from isthmus.sdk.testing import CancelCase, CancelContract, LateCase, LateContract
from isthmus_netsuite.simulator import NetSuiteSimulator

OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]
MakeCharge = Callable[..., ChargeDetermined]
LATEST_S = 590.0


def bill(simulator: NetSuiteSimulator, number: int) -> list[str]:
    """Invoices of one second; their keys."""
    create = simulator.acts()["create_record"]
    if not list(simulator.ledger.of_kind("customer")):
        create("customer", {"companyName": "By hand"})
    customer = next(simulator.ledger.of_kind("customer"))
    line = {"item": {"id": "1"}, "quantity": "1", "rate": "100"}
    fields = {"entity": {"id": customer.id}, "approvalStatus": {"id": "2"}, "item": {"items": [line]}}
    return [f"netsuite:{create('invoice', fields)['id']}" for _ in range(number)]


class TestNetSuiteRowsComeLate(LateContract):
    """Five to a second, two to a page; the late ones bear stamps that were read long before."""

    @pytest.fixture(
        params=[
            pytest.param(datetime(2026, 10, 20, 17, tzinfo=UTC), id="on any day"),
            pytest.param(datetime(2026, 11, 1, 9, 5, tzinfo=UTC), id="in the hour told twice"),
        ]
    )
    async def late_case(
        self, request: pytest.FixtureRequest, simulator: NetSuiteSimulator, open_with: OpenWith, clock: Any
    ) -> AsyncIterator[LateCase]:
        clock.now = request.param

        def add(number: int, late_s: float) -> Collection[str]:
            clock.advance(-late_s)
            keys = bill(simulator, number)
            clock.advance(late_s)
            return keys

        async with open_with(page_size=2, settle_s=2.0) as opened:
            assert opened.source is not None
            yield LateCase(
                source=opened.source, stream="invoices", add=add, advance=clock.advance, late_s=LATEST_S
            )


class TestNetSuiteIsCancelledAnywhere(CancelContract):
    """Each call of the daemon that does several at once inside."""

    @pytest.fixture(params=["reads", "queues", "batches"])
    def cancel_case(
        self,
        request: pytest.FixtureRequest,
        simulator: NetSuiteSimulator,
        open_with: OpenWith,
        shell: None,
        charge: MakeCharge,
        clock: Any,
    ) -> CancelCase:
        numbers = count()

        def fresh() -> Delivery:
            event = charge(f"billing:c{next(numbers)}")
            return Delivery(key=event.id, lane="netsuite", event=event)

        async def reads(opened: Opened) -> None:
            assert opened.source is not None
            assert len((await opened.source.pull("invoices", None)).events) == 2

        async def queues(opened: Opened) -> None:
            assert opened.sink is not None
            await opened.sink.deliver(fresh())

        async def batches(opened: Opened) -> None:
            assert opened.sink is not None
            await opened.sink.deliver_many([fresh(), fresh()])

        simulator.acts()["slow_jobs"](0.0)
        if request.param == "reads":
            clock.now = datetime(2026, 11, 1, 8, 50, tzinfo=UTC)  # each row is asked for its instant
            bill(simulator, 2)
        works: dict[str, tuple[Callable[[Opened], Awaitable[None]], str]] = {
            "reads": (reads, "direct"),
            "queues": (queues, "async"),
            "batches": (batches, "batch"),
        }
        work, writes = works[request.param]
        return CancelCase(open=lambda: open_with(writes=writes), work=work)
